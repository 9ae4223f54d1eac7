"""The default validation set (`make_validation`): 72 photographs with rain not used in training.

Five are included in scikit-image. The others ship in `photographs/`; they are in the public domain or under CC0,
and are credited there. The set is rendered once per workspace and frozen there by its manifest. Processors differ
in the last bit of the rendered rain, so the package cannot contain its checksums.
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
from tasks.counted import counted
from tasks.media.samples import SAMPLES, as_png, photograph, rain_on
from tasks.prefect_runs import run_log
from tasks.promotion.validation_manifest import COLUMNS

FOLDER = Path(__file__).parent / "photographs"
"""Photographs that ship; `CREDITS.csv` there names author, licence and source of each."""
RAINS = {"coarse": COARSE, "needles": NEEDLES, "sleet": SLEET}
"""Rain families."""
PARTS = (
    ("coarse", 0.0, 0.0),
    ("needles", 0.5, 0.5),
    ("sleet", 1.0, 1.0),
    ("needles", 0.0, 1.0),
    ("sleet", 1.0, 0.0),
    ("coarse", 0.5, 0.0),
)
"""The pairs of every scene: rain family, and position of the part from top to bottom and from left to right."""
SIDE = 192
"""Height and width of a pair."""
MANIFEST = "manifest.csv"
FIRST_RAIN = 1000
"""Numbers that select the rain, distinct from those of the samples."""
LEAST_RAIN = 2.0
"""Minimum mean of the rain on a pair, in grey levels. With less, a single streak can make a difference of 15 dB
between two networks, and the mean of a set is uncertain."""
MOST_DRAWS = 20
"""Number of draws per pair, after which less rain is accepted; none is visible on white."""
OTHER_RAIN = 10_000
"""Distance between the numbers of two draws."""


def make_validation(workspace: str) -> str:
    """Write the validation set if there is none; return the URL of its manifest."""
    location = open_location(f"{workspace.rstrip('/')}/validation")
    if not location.exists(MANIFEST):
        total = len(SAMPLES) + len(list(FOLDER.glob("*.webp")))
        run_log().info(f"making the default validation set: {total * len(PARTS)} pairs, once per workspace")
        write_validation(location, counted(scenes(), "making pairs of", "photograph", total))
    return f"{location.url}/{MANIFEST}"


def scenes() -> Iterator[tuple[str, RgbImage]]:
    """Yield name and pixels, (H, W, 3), of the photographs of the default set."""
    yield from ((name, photograph(name)) for name in SAMPLES)
    for path in sorted(FOLDER.glob("*.webp")):
        with Image.open(path) as image:
            yield path.stem, np.asarray(image.convert("RGB"))


def write_validation(location: Location, photographs: Iterable[tuple[str, RgbImage]]) -> None:
    """Write the pairs of clean photographs, given as (scene, (H, W, 3)), and their manifest last.

    Neither side of a photograph may be shorter than `SIDE` pixels.
    """
    rows = []
    for number, (scene, whole) in enumerate(photographs):
        for part, (clean, rainy) in enumerate(_pairs(whole, FIRST_RAIN + number * len(PARTS))):
            row = {"scene": scene}
            for side, pixels in (("rainy", rainy), ("clean", clean)):
                data = as_png(pixels)
                row |= {side: f"{side}/{scene}-{part}.png", f"{side}_sha256": sha256(data).hexdigest()}
                location.put(row[side], data)
            rows.append(row)
    location.put(MANIFEST, _csv(rows))


def _pairs(whole: RgbImage, first: int) -> Iterator[tuple[RgbImage, RgbImage]]:
    """Yield the pairs (clean, rainy) of a photograph; `first` is the number of their rain."""
    for number, (rain, down, right) in enumerate(PARTS, first):
        top, left = int(down * (whole.shape[0] - SIDE)), int(right * (whole.shape[1] - SIDE))
        clean = whole[top : top + SIDE, left : left + SIDE]
        yield clean, _rainy(clean, number, RAINS[rain])


def _rainy(clean: RgbImage, number: int, family: StreakFamily) -> RgbImage:
    """Draw rain until enough of it is visible."""
    for draw in range(MOST_DRAWS):
        rainy = rain_on(clean, number + draw * OTHER_RAIN, (family, family))
        if rainy.mean() - clean.mean() >= LEAST_RAIN:
            break
    return rainy


def _csv(rows: list[dict[str, str]]) -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()
