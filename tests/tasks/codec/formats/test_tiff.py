"""The TIFF writer, read back by Pillow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tasks.codec.formats import tiff
from tasks.codec.formats.tiff import write_tiff
from tasks.codec.pictures import Metadata
from tests.support.samples.images import exif_block, photo, reopened, srgb_profile


@settings(deadline=None)
@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 4))),
    st.booleans(),
)
def test_any_pixels_come_back(pixels, compressed):
    image = reopened(write_tiff(pixels, Metadata(), compressed=compressed))
    assert image.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[pixels.shape[2]]
    np.testing.assert_array_equal(np.asarray(image).reshape(pixels.shape), pixels)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("strip_bytes", [1, 100, 65_000, 70_000])
def test_strips_of_any_length_come_back(strip_bytes, compressed, monkeypatch):
    monkeypatch.setattr(tiff, "_STRIP_BYTES", strip_bytes)
    pixels = photo(300, 120)
    image = reopened(write_tiff(pixels, Metadata(), compressed=compressed))
    np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("compressed", [False, True])
def test_metadata_comes_back(compressed):
    metadata = Metadata(srgb_profile(), exif_block()[6:], (300, 72.5))
    image = reopened(write_tiff(photo(), metadata, compressed=compressed))
    assert image.info["icc_profile"] == metadata.icc_profile
    assert image.info["dpi"] == metadata.dpi
    exif = image.getexif()
    assert exif[0x010F] == "Camera maker"
    assert exif.get_ifd(0x8769)[0x829A] == 0.25
    assert exif.get_ifd(0x8825)[1] == "N"


@pytest.mark.parametrize("exif", [b"", b"nonsense", exif_block()[6:40], b"II*\0\x08\0\0\0\xff\xff"])
def test_exif_that_does_not_fit_is_left_out(exif):
    image = reopened(write_tiff(photo(), Metadata(exif=exif), compressed=False))
    np.testing.assert_array_equal(np.asarray(image), photo())


def test_layout_tags_of_the_block_do_not_reach_the_output():
    image = reopened(
        write_tiff(
            photo(), Metadata(exif=b"II*\0\x08\0\0\0\1\0\0\1\3\0\1\0\0\0\7\0\0\0\0\0\0\0"), compressed=False
        )
    )
    assert image.size == (16, 24)


def test_compression_makes_it_smaller():
    smooth = photo(200, 200) // 64 * 64
    assert (
        len(write_tiff(smooth, Metadata(), compressed=True))
        < len(write_tiff(smooth, Metadata(), compressed=False)) / 2
    )
