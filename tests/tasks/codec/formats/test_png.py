"""The PNG writer, read back by Pillow."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tasks.codec.formats import png
from tasks.codec.formats.png import write_png
from tasks.codec.pictures import Metadata
from tests.support.samples.images import (
    encoded,
    exif_block,
    labelled_profile,
    photo,
    picture,
    reopened,
    srgb_profile,
)

NOTHING = Metadata()


@settings(deadline=None)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 4))))
def test_any_pixels_come_back(pixels):
    image = reopened(write_png(pixels, NOTHING))
    assert image.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[pixels.shape[2]]
    np.testing.assert_array_equal(np.asarray(image).reshape(pixels.shape), pixels)


def test_a_view_that_is_not_contiguous_comes_back():
    pixels = photo(60, 50)[::2, ::-3]
    np.testing.assert_array_equal(np.asarray(reopened(write_png(pixels, NOTHING))), pixels)


def test_metadata_comes_back():
    metadata = Metadata(srgb_profile(), exif_block()[6:], (300, 72))
    image = reopened(write_png(photo(), metadata))
    assert image.info["icc_profile"] == metadata.icc_profile
    assert image.info["exif"].removeprefix(b"Exif\0\0") == metadata.exif
    assert image.info["dpi"] == pytest.approx((300, 72), abs=0.02)


def test_grey_profile_comes_back():
    profile = labelled_profile(b"GRAY")
    assert reopened(write_png(photo()[..., 0], Metadata(profile))).info["icc_profile"] == profile


def test_long_data_is_cut_in_chunks(monkeypatch):
    monkeypatch.setattr(png, "_LONGEST_CHUNK", 100)
    data = write_png(photo(), NOTHING)
    assert data.count(b"IDAT") > 3
    np.testing.assert_array_equal(np.asarray(reopened(data)), photo())


def test_chunks_stand_in_the_order_of_the_standard():
    data = write_png(photo(), Metadata(srgb_profile(), exif_block()[6:], (300, 300)))
    names, position = [], 8
    while position < len(data):
        length, name = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        checksum = data[position + 8 + length : position + 12 + length]
        assert int.from_bytes(checksum, "big") == zlib.crc32(data[position + 4 : position + 8 + length])
        names.append(name)
        position += 12 + length
    assert names == [b"IHDR", b"iCCP", b"pHYs", b"eXIf", b"IDAT", b"IEND"]


def test_size_is_near_that_of_a_general_encoder():
    # Within a few per cent of the encoder that takes an order of magnitude longer.
    image = picture("RGB", height=300, width=400)
    assert len(write_png(np.asarray(image), NOTHING)) <= 1.05 * len(encoded(image, "PNG", compress_level=1))


def test_the_same_bytes_every_time():
    assert write_png(photo(), NOTHING) == write_png(photo().copy(), NOTHING)


def test_five_channels_are_refused():
    with pytest.raises(ValueError, match="5 channels"):
        write_png(np.zeros((2, 2, 5), np.uint8), NOTHING)
