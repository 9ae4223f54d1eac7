"""WebP compared with libwebp through another binding, and every BMP layout compared with the written colours."""

import itertools
import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from tasks.codec import Export, ImageRejected, decode, dropped, encode
from tasks.codec.formats.bmp import write_bmp_with_alpha
from tests.support.samples.images import LIMIT, encoded, picture, srgb_profile

WEBP = list(
    itertools.product(("RGB", "RGBA"), (False, True), (0, 40, 100), ((1, 1), (3, 2), (24, 17), (64, 65)))
)
BMP = list(itertools.product((1, 4, 8, 16, 24, 32), (False, True), ((1, 1), (3, 2), (24, 17), (9, 33))))
HEADER_BYTES, PALETTED, BITFIELDS = 40, (1, 4, 8), 3
MASKS_565 = (0xF800, 0x07E0, 0x001F)


def test_all_48_kinds_of_webp_have_the_pixels_that_libwebp_reads():
    assert len(WEBP) == 48
    for mode, lossless, quality, (height, width) in WEBP:
        image = picture(mode, height=height, width=width)
        data = encoded(image, "WEBP", lossless=lossless, quality=quality, exact=True)
        read = imagecodecs.webp_decode(data)
        source = decode(data, LIMIT)
        assert np.array_equal(source.rgb, read[..., :3])
        assert read.shape[2] == 3 or np.array_equal(source.alpha, read[..., 3])
        assert not lossless or np.array_equal(read, np.asarray(image)[..., : read.shape[2]])


def bmp(bits: int, top_down: bool, size: tuple[int, int]) -> tuple[bytes, np.ndarray]:
    """Return a standard BMP, and its colours."""
    height, width = size
    generator = np.random.default_rng(bits)
    palette = generator.integers(0, 256, (2**bits, 3)).astype(np.uint8) if bits in PALETTED else None
    samples, colours = _samples(bits, size, palette, generator)
    rows = [row.tobytes().ljust((width * bits + 31) // 32 * 4, b"\0") for row in samples]
    entries = b"" if palette is None else np.insert(palette[:, ::-1], 3, 0, axis=1).tobytes()
    masks = struct.pack("<3I", *MASKS_565) if bits == 16 else b""
    start = 14 + HEADER_BYTES + len(masks) + len(entries)
    body = b"".join(rows if top_down else reversed(rows))
    head = struct.pack("<2sIII", b"BM", start + len(body), 0, start)
    signed = -height if top_down else height
    compression = BITFIELDS if bits == 16 else 0
    layout = (
        HEADER_BYTES,
        width,
        signed,
        1,
        bits,
        compression,
        len(body),
        2835,
        2835,
        0 if palette is None else len(palette),
        0,
    )
    return head + struct.pack("<IiiHHIIiiII", *layout) + masks + entries + body, colours


def _samples(
    bits: int, size: tuple[int, int], palette: np.ndarray | None, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    if palette is not None:
        indices = generator.integers(0, 2**bits, size).astype(np.uint8)
        unpacked = np.unpackbits(indices[..., None], axis=2)[..., -bits:]
        return np.packbits(unpacked.reshape(size[0], -1), axis=1), palette[indices]
    if bits == 16:
        red, green, blue = (generator.integers(0, top, size) for top in (32, 64, 32))
        colours = np.stack([red * 255 // 31, green * 255 // 63, blue * 255 // 31], axis=2)
        return ((red << 11) | (green << 5) | blue).astype("<u2"), colours
    colours = generator.integers(0, 256, (*size, 3)).astype(np.uint8)
    channels = colours[..., ::-1] if bits == 24 else np.insert(colours[..., ::-1], 3, 0, axis=2)
    return np.ascontiguousarray(channels), colours


def test_all_48_layouts_of_bmp_have_the_right_pixels():
    assert len(BMP) == 48
    for bits, top_down, size in BMP:
        data, colours = bmp(bits, top_down, size)
        read = decode(data, LIMIT).rgb
        # Five bits to eight: readers round up or down.
        assert np.abs(read.astype(int) - colours).max() <= (1 if bits == 16 else 0), (bits, top_down, size)


@pytest.mark.parametrize("bits", [8, 24])
def test_another_reader_reads_the_bmp_that_was_written(bits):
    data, colours = bmp(bits, False, (24, 17))
    read = imagecodecs.bmp_decode(data, asrgb=True)
    np.testing.assert_array_equal(read, colours)


def bmp_of(bits: int, compression: int, body: bytes, masks: bytes = b"") -> bytes:
    start = 14 + HEADER_BYTES + len(masks)
    head = struct.pack("<2sIII", b"BM", start + len(body), 0, start)
    layout = (HEADER_BYTES, 16, 24, 1, bits, compression, len(body), 2835, 2835, 0, 0)
    return head + struct.pack("<IiiHHIIiiII", *layout) + masks + body


@pytest.mark.parametrize(
    ("data", "layout"),
    [
        (bmp_of(0, 4, encoded(picture("RGB"), "JPEG")), "BMP of pixel depth 0"),
        (bmp_of(24, 4, encoded(picture("RGB"), "JPEG")), "BMP of compression 4"),
        (bmp_of(2, 0, bytes(24 * 4)), "BMP of pixel depth 2"),
        (bmp_of(64, 0, bytes(24 * 16 * 8)), "BMP of pixel depth 64"),
        (
            bmp_of(16, 3, bytes(24 * 32), struct.pack("<3I", 0xF00, 0xF0, 0xF)),
            "BMP of another division of bits among colours",
        ),
    ],
)
def test_rare_layouts_of_bmp_are_not_called_damaged(data, layout):
    with pytest.raises(ImageRejected) as caught:
        decode(data, LIMIT)
    assert caught.value.reason == f"not supported: {layout}"


def test_an_alpha_channel_that_is_zero_everywhere_is_unused():
    rgba = np.asarray(picture("RGBA")).copy()
    rgba[..., 3] = 0
    source = decode(write_bmp_with_alpha(rgba, None), LIMIT)
    np.testing.assert_array_equal(source.rgb, rgba[..., :3])
    assert source.alpha is None


def test_a_jpeg_2000_of_five_components_is_not_called_damaged():
    data = imagecodecs.jpeg2k_encode(np.zeros((8, 8, 5), np.uint8), codecformat="j2k", mct=False)
    with pytest.raises(ImageRejected, match=r"^not supported: JPEG 2000 of more than four components$"):
        decode(data, LIMIT)


def test_a_profile_in_a_bmp_is_kept_by_other_formats_and_said_to_be_dropped_by_a_bmp():
    profile, rgb = srgb_profile(), np.asarray(picture("RGB"))
    start = 14 + 124
    head = struct.pack("<2sIII", b"BM", start + rgb.size + len(profile), 0, start)
    layout = struct.pack("<IiiHHIIiiII", 124, 16, -24, 1, 24, 0, rgb.size, 0, 0, 0, 0)
    colours = b"DEBM".rjust(20, b"\0") + struct.pack("<52xIII", 124 + rgb.size, len(profile), 0)
    data = head + layout + colours + rgb[..., ::-1].tobytes() + profile
    source = decode(data, LIMIT)
    np.testing.assert_array_equal(source.rgb, rgb)
    kept = decode(encode(source.rgb, source, Export("png")), LIMIT).form.metadata.icc_profile
    assert (kept, dropped(source, Export("png"))) == (profile, ())
    assert dropped(source, Export("same")) == ("ICC profile",)


def test_an_avif_longer_than_libavif_reads_is_not_called_damaged():
    assert decode(encoded(Image.new("RGB", (32_768, 1)), "AVIF"), LIMIT).width == 32_768
    with pytest.raises(ImageRejected, match=r"^not supported: AVIF of more than 32,768 pixels a side$"):
        decode(encoded(Image.new("RGB", (1, 32_769)), "AVIF"), LIMIT)
