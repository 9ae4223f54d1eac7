"""The default validation set (`make_validation`): scikit-image's photographs with rain not used in training.

It is rendered once per workspace and frozen there by its manifest. Processors differ in the last bit of the
rendered rain, so the package cannot contain its checksums.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from hashlib import sha256

from PIL import Image

from infra.storage.location import Location, open_location
from models.images import RgbImage
from models.rain.streaks import COARSE, NEEDLES, SLEET
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
RAINS = {"coarse": COARSE, "needles": NEEDLES, "sleet": SLEET}
"""Rain families; each is applied to another part of every photograph."""
SIDE = 192
"""Height and width of a pair."""
MANIFEST = "manifest.csv"
FIRST_RAIN = 1000
"""Numbers that select the rain, distinct from those of the samples."""


def make_validation(workspace: str) -> str:
    """Write the validation set if there is none; return the URL of its manifest."""
    location = open_location(f"{workspace.rstrip('/')}/validation")
    if not location.exists(MANIFEST):
        write_validation(location, ((scene, photograph(scene)) for scene in PHOTOGRAPHS))
    return f"{location.url}/{MANIFEST}"


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
            yield f"{scene}-{rain}", clean, rain_on(clean, number, (family, family))


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
