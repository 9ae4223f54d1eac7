"""A photograph is recognised in any encoding, and is not confused with another."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from models.rain.streaks import FINE, MEDIUM
from tasks.media.samples import rain_on
from tasks.perceptual_hash import SeenPhotographs
from tests.support.samples.photographs import PHOTOGRAPHS, photograph


def as_jpeg(pixels: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=30)
    return np.asarray(Image.open(file))


COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda pixels: pixels,
    "JPEG": as_jpeg,
    "half the size": lambda pixels: np.asarray(Image.fromarray(pixels).resize((96, 96))),
    "cut": lambda pixels: pixels[3:-3, 3:-3],
    "darker": lambda pixels: (pixels * 0.8).astype(np.uint8),
    "rain": lambda pixels: rain_on(pixels, 1, (FINE, MEDIUM)),
}


@pytest.fixture(scope="module")
def seen() -> SeenPhotographs:
    seen = SeenPhotographs()
    for name in PHOTOGRAPHS[:3]:
        seen.add(name, photograph(name))
    return seen


@pytest.mark.parametrize("copy", COPIES)
def test_a_photograph_is_recognised(seen: SeenPhotographs, copy: str):
    found = [seen.most_similar(np.ascontiguousarray(COPIES[copy](photograph(name)))) for name in PHOTOGRAPHS]
    assert found == [*PHOTOGRAPHS[:3], None, None]


def test_with_nothing_seen_nothing_is_alike():
    assert SeenPhotographs().most_similar(photograph("coffee")) is None
