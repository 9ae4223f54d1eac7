"""The default validation set (`make_validation`): scikit-image's photographs with rain not used in training.

It is rendered once per workspace and frozen there by its manifest. Processors differ in the last bit of the
rendered rain, so the package cannot contain its checksums.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from hashlib import sha256

import numpy as np
from PIL import Image

from infra.storage.location import open_location
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
FIRST_RAIN = 1000
"""Numbers that select the rain, distinct from those of the samples."""


def make_validation(workspace: str) -> str:
    """Write the validation set if there is none; return the URL of its manifest, which is written last."""
    location = open_location(f"{workspace.rstrip('/')}/validation")
    manifest = "manifest.csv"
    if not location.exists(manifest):
        rows = []
        for name, (clean, rainy) in _pairs():
            data = {"rainy": _png(rainy), "clean": _png(clean)}
            keys = {side: f"{side}/{name}.png" for side in data}
            for side, key in keys.items():
                location.put(key, data[side])
            digests = {f"{side}_sha256": sha256(data[side]).hexdigest() for side in data}
            rows.append({**keys, **digests, "scene": name.partition("-")[0]})
        location.put(manifest, _csv(rows))
    return f"{location.url}/{manifest}"


def _pairs() -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """Yield clean and rainy parts of each photograph, by name."""
    for scene_number, scene in enumerate(PHOTOGRAPHS):
        whole = photograph(scene)
        for rain_number, (rain, family) in enumerate(RAINS.items()):
            # Parts lie along the diagonal, so that they overlap as little as the size allows.
            top, left = (rain_number * (extent - SIDE) // (len(RAINS) - 1) for extent in whole.shape[:2])
            clean = whole[top : top + SIDE, left : left + SIDE]
            number = FIRST_RAIN + scene_number * len(RAINS) + rain_number
            yield f"{scene}-{rain}", (clean, rain_on(clean, number, (family, family)))


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def _csv(rows: list[dict[str, str]]) -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()
