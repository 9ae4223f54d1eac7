"""Files that claim far more pixels than they hold are rejected before they are decoded; dense ones are not."""

from __future__ import annotations

import struct
from unittest import mock

import pytest
from PIL import Image
from PIL.ImageFile import ImageFile

from tasks.codec import ImageRejected, decode
from tasks.codec.claims import describe_excess
from tests.support.samples.images import encoded, picture

LIMIT = 300_000_000


def with_jpeg_size(width: int, height: int) -> bytes:
    data = bytearray(encoded(picture("RGB"), "JPEG"))
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def with_gif_size(width: int, height: int) -> bytes:
    data = bytearray(encoded(picture("RGB"), "GIF"))
    frame = data.index(b",\0\0\0\0") + 5
    for start in (6, frame):
        data[start : start + 4] = struct.pack("<HH", width, height)
    return bytes(data)


def with_bmp_size(width: int, height: int) -> bytes:
    data = bytearray(encoded(picture("RGB"), "BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def with_tiff_size(width: int, height: int) -> bytes:
    data = bytearray(encoded(picture("RGB"), "TIFF"))
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    sizes = {256: width, 257: height}
    for place in range(directory + 2, directory + 2 + 12 * count, 12):
        if (size := sizes.get(struct.unpack_from("<H", data, place)[0])) is not None:
            struct.pack_into("<HII", data, place + 2, 4, 1, size)
    return bytes(data)


def with_webp_size(width: int, height: int) -> bytes:
    data = bytearray(encoded(picture("RGB"), "WEBP", lossless=True))
    bits = (width - 1) | (height - 1) << 14
    data[21:25] = struct.pack("<I", bits | struct.unpack_from("<I", data, 21)[0] & 0xF0000000)
    return bytes(data)


CLAIMS = {
    "JPEG": with_jpeg_size(20_000, 14_750),
    "JPEG of 20 megapixels": with_jpeg_size(5_000, 4_000),
    "GIF": with_gif_size(20_000, 14_750),
    "BMP": with_bmp_size(20_000, 14_750),
    "TIFF": with_tiff_size(20_000, 14_750),
    "PPM": b"P6 20000 14750 255\n" + bytes(600),
    "WEBP": with_webp_size(13_000, 13_000),
}


@pytest.mark.parametrize("name", list(CLAIMS))
def test_a_file_that_cannot_hold_its_pixels_is_never_decoded(name: str) -> None:
    decoding = AssertionError("decoded")
    with mock.patch.object(ImageFile, "load", side_effect=decoding), pytest.raises(ImageRejected) as caught:
        decode(CLAIMS[name], LIMIT)
    assert "claims " in caught.value.reason
    assert f"{len(CLAIMS[name]):,} bytes" in caught.value.reason


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {"format": "JPEG", "quality": 1, "progressive": True, "optimize": True}),
        ("L", {"format": "JPEG", "quality": 1, "progressive": True, "optimize": True}),
        ("RGB", {"format": "PNG", "compress_level": 9}),
        ("1", {"format": "PNG", "compress_level": 9}),
        ("P", {"format": "GIF"}),
        ("RGB", {"format": "WEBP", "lossless": True}),
        ("RGB", {"format": "TIFF", "compression": "tiff_lzw"}),
        ("1", {"format": "TIFF", "compression": "tiff_adobe_deflate"}),
        ("1", {"format": "TIFF", "compression": "group4"}),
        ("1", {"format": "TIFF", "compression": "packbits"}),
        ("P", {"format": "BMP"}),
        ("1", {"format": "PPM"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_an_empty_picture_as_small_as_it_can_be_is_decoded(mode: str, options: dict[str, object]) -> None:
    """One uniform colour gives the smallest files, which still must not be rejected as false claims."""
    chosen = dict(options)
    data = encoded(Image.new(mode, (4_000, 3_000)), str(chosen.pop("format")), **chosen)
    assert decode(data, LIMIT).rgb.shape == (3_000, 4_000, 3)


@pytest.mark.parametrize(
    ("pixels", "limit", "words"),
    [
        (400_000_000, 300_000_000, "400 megapixels, over the limit of 300"),
        (300_100_000, 300_000_000, "300,100,000 pixels, over the limit of 300,000,000"),
        (3_600_000_000, 300_000_000, "3,600 megapixels, over the limit of 300"),
    ],
)
def test_the_reason_shows_by_how_much_the_limit_is_exceeded(pixels: int, limit: int, words: str) -> None:
    assert describe_excess(pixels, limit) == words
