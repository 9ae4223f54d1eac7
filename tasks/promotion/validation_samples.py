"""The default validation set (`make_validation`): sixty photographs with rain not used in training.

Ten are scikit-image's; fifty ship in `photographs/`, are in the public domain or under CC0, and are credited there.
The set is rendered once per workspace and frozen there by its manifest. Processors differ in the last bit of the
rendered rain, so the package cannot contain its checksums.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from infra.storage.location import Location, open_location
from models.images import RgbImage
from models.rain.streaks import COARSE, NEEDLES, SLEET, StreakFamily
from tasks.media.samples import photograph, rain_on
from tasks.promotion.validation_manifest import COLUMNS

PHOTOGRAPHS = (
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "motorcycle_left",
    "rocket",
)
"""Photographs included in scikit-image; each is a scene."""
FOLDER = Path(__file__).parent / "photographs"
"""The other scenes; `CREDITS.csv` there names author, licence and source of each."""
RAINS = {"coarse": COARSE, "needles": NEEDLES, "sleet": SLEET}
"""Rain families; each is applied to another part of every photograph."""
SIDE = 192
"""Height and width of a pair."""
MANIFEST = "manifest.csv"
FIRST_RAIN = 1000
"""Numbers that select the rain, distinct from those of the samples."""
LEAST_RAIN = 0.8
"""Mean of the rain on a pair in grey levels: a pair with hardly any cannot tell two networks apart."""
MOST_DRAWS = 20
"""Draws of rain for one pair, after which less is accepted: on white no rain is seen."""
OTHER_RAIN = 10_000
"""Distance between the numbers of two draws."""


def make_validation(workspace: str) -> str:
    """Write the validation set if there is none; return the URL of its manifest."""
    location = open_location(f"{workspace.rstrip('/')}/validation")
    if not location.exists(MANIFEST):
        write_validation(location, scenes())
    return f"{location.url}/{MANIFEST}"


def scenes() -> Iterator[tuple[str, RgbImage]]:
    """Yield name and pixels, (H, W, 3), of the photographs of the default set."""
    yield from ((name, photograph(name)) for name in PHOTOGRAPHS)
    for path in sorted(FOLDER.glob("*.webp")):
        with Image.open(path) as image:
            yield path.stem, np.asarray(image.convert("RGB"))


def write_validation(location: Location, photographs: Iterable[tuple[str, RgbImage]]) -> None:
    """Write pairs of all rain families for clean photographs, given as (scene, (H, W, 3)), and their manifest last.

    Neither side of a photograph may be shorter than `SIDE` pixels.
    """
    rows = []
    for name, clean, rainy in _pairs(photographs):
        data = {"rainy": _png(rainy), "clean": _png(clean)}
        keys = {side: f"{side}/{name}.png" for side in data}
        for side, key in keys.items():
            location.put(key, data[side])
        digests = {f"{side}_sha256": sha256(data[side]).hexdigest() for side in data}
        rows.append({**keys, **digests, "scene": name.rpartition("-")[0]})
    location.put(MANIFEST, _csv(rows))


def _pairs(photographs: Iterable[tuple[str, RgbImage]]) -> Iterator[tuple[str, RgbImage, RgbImage]]:
    """Yield the name of each pair, and its clean and its rainy version."""
    for scene_number, (scene, whole) in enumerate(photographs):
        for rain_number, (rain, family) in enumerate(RAINS.items()):
            # Parts lie along the diagonal, so that they overlap as little as the size allows.
            top, left = (rain_number * (extent - SIDE) // (len(RAINS) - 1) for extent in whole.shape[:2])
            clean = whole[top : top + SIDE, left : left + SIDE]
            number = FIRST_RAIN + scene_number * len(RAINS) + rain_number
            yield f"{scene}-{rain}", clean, _rainy(clean, number, family)


def _rainy(clean: RgbImage, number: int, family: StreakFamily) -> RgbImage:
    """Draw rain until enough of it is seen."""
    for draw in range(MOST_DRAWS):
        rainy = rain_on(clean, number + draw * OTHER_RAIN, (family, family))
        if rainy.mean() - clean.mean() >= LEAST_RAIN:
            break
    return rainy


def _png(pixels: RgbImage) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def _csv(rows: list[dict[str, str]]) -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()
