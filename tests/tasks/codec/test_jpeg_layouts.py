"""Samplings, progression and restart markers of a JPEG compared with another libjpeg, complete and truncated."""

import io
import itertools
import struct
from dataclasses import dataclass

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from tasks.codec import ImageRejected, decode
from tests.support.samples.images import LIMIT, encoded, photo, picture

SIZES = ((8, 8), (33, 50), (97, 131))
END = b"\xff\xd9"


@dataclass(frozen=True)
class Layout:
    mode: str
    subsampling: int
    progressive: bool
    restart_interval: int
    size: tuple[int, int]


LAYOUTS = [
    Layout(mode, subsampling, progressive, interval, size)
    for mode, subsampling, progressive, interval, size in itertools.product(
        ("L", "RGB", "CMYK"), (0, 1, 2), (False, True), (0, 1, 5), SIZES
    )
    if not (mode == "L" and subsampling)
]
SMALL = [layout for layout in LAYOUTS if layout.size == (33, 50)]


def jpeg(layout: Layout) -> bytes:
    options = {"restart_marker_blocks": layout.restart_interval} if layout.restart_interval else {}
    image = Image.fromarray(photo(*layout.size)).convert(layout.mode)
    return encoded(
        image, "JPEG", quality=90, subsampling=layout.subsampling, progressive=layout.progressive, **options
    )


def wanted(layout: Layout, data: bytes) -> np.ndarray:
    read = imagecodecs.jpeg8_decode(data)
    if layout.mode == "CMYK":
        read = np.asarray(Image.fromarray(255 - read, "CMYK").convert("RGB"))
    return read.reshape(*layout.size, -1)


def reason_of(data: bytes) -> str | None:
    try:
        decode(data, LIMIT)
    except ImageRejected as rejected:
        return rejected.reason
    return None


def test_all_126_layouts_have_the_pixels_that_libjpeg_reads():
    assert len(LAYOUTS) == 126
    for layout in LAYOUTS:
        data = jpeg(layout)
        read = decode(data, LIMIT).rgb
        assert np.array_equal(read, np.broadcast_to(wanted(layout, data), read.shape)), layout


@pytest.mark.parametrize("subsampling", ["440", "411"])
def test_rare_samplings_have_the_pixels_that_libjpeg_reads(subsampling):
    data = imagecodecs.jpeg8_encode(photo(97, 131), level=90, subsampling=subsampling)
    np.testing.assert_array_equal(decode(data, LIMIT).rgb, imagecodecs.jpeg8_decode(data))


def test_42_layouts_that_lack_only_the_end_marker_are_read():
    assert len(SMALL) == 42
    for layout in SMALL:
        data = jpeg(layout)
        whole = decode(data, LIMIT).rgb
        for missing in (1, 2):
            assert np.array_equal(decode(data[:-missing], LIMIT).rgb, whole), layout


@pytest.mark.parametrize("ending", [b"", END])
@pytest.mark.parametrize("share", [0.1, 0.34, 0.5, 0.7, 0.8, 0.9, 0.95])
def test_42_layouts_whose_scan_breaks_off_are_rejected(share, ending):
    for layout in SMALL:
        data = jpeg(layout)
        start = data.index(b"\xff\xda")
        cut = data[: start + int((len(data) - 2 - start) * share)]
        assert reason_of(cut + ending) in ("truncated JPEG", "damaged JPEG"), layout


def test_a_picture_that_ends_in_grey_is_whole():
    grey = encoded(Image.new("RGB", (40, 40), (128, 128, 128)), "JPEG")
    assert (decode(grey, LIMIT).rgb == 128).all()
    half = photo(64, 64)
    half[30:] = 128
    assert reason_of(encoded(Image.fromarray(half), "JPEG", quality=95)) is None


def with_frame(data: bytes, marker: int, bits: int) -> bytes:
    at = data.index(b"\xff\xc0")
    return data[: at + 1] + bytes([marker]) + data[at + 2 : at + 4] + bytes([bits]) + data[at + 5 :]


@pytest.mark.parametrize(
    ("marker", "bits", "reason"),
    [
        (0xC1, 12, "not supported: 12-bit JPEG"),
        (0xC3, 8, "not supported: lossless JPEG"),
        (0xC5, 8, "not supported: hierarchical JPEG"),
        (0xF7, 8, "not supported: JPEG-LS"),
    ],
)
def test_kinds_of_jpeg_that_are_valid_and_not_read(marker, bits, reason):
    assert reason_of(with_frame(encoded(picture("RGB"), "JPEG"), marker, bits)) == reason


def test_a_jpeg_of_two_components_and_one_without_a_height_are_not_supported():
    data = encoded(picture("RGB"), "JPEG")
    at = data.index(b"\xff\xc0")
    (size,) = struct.unpack_from(">H", data, at + 2)
    frame = bytearray(data[at : at + 2 + size])
    without_height = data.replace(bytes(frame), bytes(frame[:5] + b"\0\0" + frame[7:]))
    frame[2:4], frame[9] = struct.pack(">H", size - 3), 2
    of_two = data[:at] + bytes(frame[:-3]) + data[at + 2 + size :]
    assert reason_of(of_two) == "not supported: JPEG of 2 components"
    assert reason_of(without_height) == "not supported: JPEG that says its height after the picture (DNL)"


def test_a_jpeg_longer_than_libjpeg_reads_is_not_supported():
    data = encoded(Image.new("RGB", (65_500, 8)), "JPEG")
    at = data.index(b"\xff\xc0") + 7
    longer = data[:at] + struct.pack(">H", 65_501) + data[at + 2 :]
    assert decode(data, LIMIT).width == 65_500
    assert reason_of(longer) == "not supported: JPEG of more than 65,500 pixels a side"


def test_a_jpeg_that_begins_twice_is_damaged_and_not_truncated():
    assert reason_of(b"\xff\xd8" + encoded(picture("RGB"), "JPEG")) == "damaged JPEG"


def test_a_16_bit_lossless_jpeg_is_not_called_damaged():
    data = imagecodecs.ljpeg_encode(np.full((8, 8), 300, np.uint16), bitspersample=16)
    assert (reason_of(data) or "").startswith("not supported: ")


def test_bytes_behind_the_picture_do_not_count():
    data = encoded(picture("RGB"), "JPEG")
    for tail in (b"\0" * 20, b"trailer of a phone", io.BytesIO(data).read()):
        np.testing.assert_array_equal(decode(data + tail, LIMIT).rgb, decode(data, LIMIT).rgb)
