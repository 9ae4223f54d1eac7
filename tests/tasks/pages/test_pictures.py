from __future__ import annotations

from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tasks.pages.pictures import LONGEST_SIDE, data_uri, shrunk


@pytest.mark.parametrize(
    ("height", "width", "shown"),
    [
        (600, 2400, (960, 240)),
        (1920, 1080, (540, 960)),
        (16, 24, (24, 16)),
        (1, 1, (1, 1)),
        (8000, 4, (1, 960)),
    ],
)
def test_large_pictures_are_shrunk_and_small_ones_left(height, width, shown):
    assert shrunk(np.zeros((height, width, 3), np.uint8)).size == shown
    assert max(shown) <= LONGEST_SIDE


def test_a_crop_that_is_a_view_is_shown_too():
    assert shrunk(np.zeros((64, 48, 3), np.uint8)[::2, ::-2]).size == (24, 32)


def test_an_address_holds_the_picture():
    address = data_uri(Image.new("RGB", (24, 16), (200, 40, 40)))
    kind, _, data = address.partition(",")
    assert kind == "data:image/jpeg;base64"
    read = np.asarray(Image.open(BytesIO(b64decode(data))), np.int16)
    assert read.shape == (16, 24, 3)
    assert np.abs(read - (200, 40, 40)).max() < 8
