"""Every colour type, depth and interlacing of a PNG, with and without transparency, against libpng."""

import itertools
import zlib
from dataclasses import dataclass

import imagecodecs
import numpy as np
import pytest

from tasks.codec import ImageRejected, decode
from tests.support.samples.images import LIMIT, png_chunk
from tests.support.samples.png_layouts import CHANNELS, DEPTHS, png_file

SIZES = ((1, 1), (3, 2), (7, 9), (24, 17))


@dataclass(frozen=True)
class Layout:
    colour_type: int
    depth: int
    interlaced: bool
    is_transparent: bool
    size: tuple[int, int]


LAYOUTS = [
    Layout(colour_type, depth, interlaced, is_transparent, size)
    for colour_type, depths in DEPTHS.items()
    for depth, interlaced, is_transparent, size in itertools.product(
        depths, (False, True), (False, True), SIZES
    )
    if not (is_transparent and colour_type >= 4)  # those have an alpha channel
]


def sample(layout: Layout) -> tuple[bytes, np.ndarray, np.ndarray]:
    """Return a file, its samples, and its palette with alpha, (256, 4)."""
    generator = np.random.default_rng(layout.depth)
    levels = 2**layout.depth
    shape = (*layout.size, CHANNELS[layout.colour_type])
    samples = generator.integers(0, levels, shape)
    palette = generator.integers(0, 256, (levels if layout.colour_type == 3 else 1, 4)).astype(np.uint8)
    chunks = b""
    if layout.colour_type == 3:
        chunks = png_chunk(b"PLTE", palette[:, :3].tobytes())
    if layout.is_transparent:
        key = samples[0, 0].astype(">u2").tobytes()
        chunks += png_chunk(b"tRNS", palette[:, 3].tobytes() if layout.colour_type == 3 else key)
    data = png_file(samples, layout.colour_type, layout.depth, interlaced=layout.interlaced, chunks=chunks)
    return data, samples, palette


def wanted(layout: Layout, samples: np.ndarray, palette: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return colour in eight bits, and alpha, according to the standard."""
    if layout.colour_type == 3:
        entries = palette[samples[..., 0]]
        return entries[..., :3], entries[..., 3] if layout.is_transparent else None
    eight = samples >> 8 if layout.depth == 16 else samples * 255 // (2**layout.depth - 1)
    if layout.colour_type >= 4:
        return eight[..., :-1], eight[..., -1]
    is_key = (samples == samples[0, 0]).all(axis=2)
    return eight, np.where(is_key, 0, 255) if layout.is_transparent else None


def test_libpng_reads_the_samples_that_were_written():
    for layout in LAYOUTS:
        data, samples, _ = sample(layout)
        if layout.colour_type != 3 and not layout.is_transparent and layout.depth >= 8:
            read = np.asarray(imagecodecs.png_decode(data)).reshape(samples.shape)
            np.testing.assert_array_equal(read, samples)


def test_all_208_layouts_have_the_right_pixels_and_alpha():
    assert len(LAYOUTS) == 208
    for layout in LAYOUTS:
        data, samples, palette = sample(layout)
        picture = decode(data, LIMIT)
        colour, alpha = wanted(layout, samples, palette)
        assert np.array_equal(picture.rgb, np.broadcast_to(colour, picture.rgb.shape)), layout
        if alpha is None:
            assert picture.alpha is None, layout
        else:
            assert picture.alpha is not None, layout
            assert np.array_equal(picture.alpha, alpha), layout


@pytest.mark.parametrize("interlaced", [False, True])
def test_a_transparent_colour_of_16_bits_is_exact(interlaced):
    """Many pixels of a dark photograph share the high bytes of a black key, but not its low bytes."""
    samples = np.random.default_rng(0).integers(0, 4, (24, 17, 3)) + 254  # high bytes 0 and 1
    samples[5, 5] = samples[0, 0]
    key = png_chunk(b"tRNS", samples[0, 0].astype(">u2").tobytes())
    picture = decode(png_file(samples, 2, 16, interlaced=interlaced, chunks=key), LIMIT)
    is_key = (samples == samples[0, 0]).all(axis=2)
    assert 1 < is_key.sum() < 99
    np.testing.assert_array_equal(picture.alpha, np.where(is_key, 0, 255))
    np.testing.assert_array_equal(picture.rgb, samples >> 8)


@pytest.mark.parametrize("name", [b"tEXt", b"iCCP", b"gAMA", b"eXIf", b"pHYs", b"iTXt", b"tIME", b"prVt"])
def test_a_wrong_checksum_of_an_ancillary_chunk_costs_that_chunk_alone(name):
    layout = Layout(2, 8, False, False, (24, 17))
    chunk = bytearray(png_chunk(name, b"key\0\0\0\0\0text"))
    chunk[-1] ^= 1
    samples = sample(layout)[1]
    picture = decode(png_file(samples, 2, 8, interlaced=False, chunks=bytes(chunk)), LIMIT)
    np.testing.assert_array_equal(picture.rgb, samples)
    assert picture.form.dropped == (f"damaged {name.decode()}",)


@pytest.mark.parametrize("lacking", ["a byte", "a row"])
def test_data_that_ends_before_the_last_row_is_truncated_in_all_208_layouts(lacking):
    for layout in LAYOUTS:
        data = sample(layout)[0]
        at = data.index(b"IDAT")
        rows = zlib.decompress(data[at + 4 : at + 4 + int.from_bytes(data[at - 4 : at], "big")])
        row = 1 + -(-layout.size[1] * layout.depth * CHANNELS[layout.colour_type] // 8)
        kept = rows[
            : -1 if lacking == "a byte" else -row
        ]  # Pillow detects a truncated row, but not a missing one
        short = data[: at - 4] + png_chunk(b"IDAT", zlib.compress(kept)) + png_chunk(b"IEND", b"")
        with pytest.raises(ImageRejected, match=r"truncated PNG|damaged PNG"):
            decode(short, LIMIT)


@pytest.mark.parametrize("interlaced", [False, True])
def test_a_picture_that_ends_in_black_is_whole(interlaced):
    samples = np.zeros((24, 17, 3), np.uint8)
    samples[:9] = 200
    picture = decode(png_file(samples, 2, 8, interlaced=interlaced), LIMIT)
    np.testing.assert_array_equal(picture.rgb, samples)
