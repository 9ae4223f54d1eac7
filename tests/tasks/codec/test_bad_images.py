"""Files that are not photographs, or damaged ones: each has a reason, and no other exception is raised."""

import io
import struct
import threading
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, PngImagePlugin

from tasks.codec import ImageRejected, Picture, decode, decoding
from tasks.codec.conversion import HEIC, RAW, way_out
from tests.support.samples.images import (
    LIMIT,
    encoded,
    exif_block,
    photo,
    picture,
    png_chunk,
    png_of,
    reopened,
    samples,
)

SAMPLES = samples()
STILL = {name: data for name, data in SAMPLES.items() if not name.startswith(("animated", "pages"))}


def reason_of(data: bytes, limit: int = LIMIT) -> str:
    with pytest.raises(ImageRejected) as caught:
        decode(data, limit)
    return caught.value.reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "zero bytes"),
        (b"\0" * 500, "nothing but NUL bytes, not an image"),
        (b"\n <!DOCTYPE HTML><p>Sign in</p>", "HTML, not an image"),
        (b"\xef\xbb\xbf<html>", "HTML, not an image"),
        (b'<?xml version="1.0"?><html>', "HTML, not an image"),
        (b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>', "XML, not an image"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG, not a photograph"),
        (b'{"error": 1}', "JSON, not an image"),
        (b"%PDF-1.7", "PDF, not an image"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "OLE container such as Thumbs.db, not an image"),
        (b"PK\3\4" + bytes(50), "ZIP archive, not an image"),
        (
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
            f"not supported: HEIC ({way_out(HEIC)})",
        ),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "video, not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not an image"),
        (b"RIFF\0\0\0\0AVI LIST", "video, not an image"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "video, not an image"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n",
            "pointer of Git LFS, not an image: run git lfs pull",
        ),
        (b"\x89PNG\n\x1a\n\0\0\0\x0dIHDR", "damaged PNG: its line ends were converted"),
        (b"hello", "not an image"),
        (b"P6", "not an image"),
    ],
)
def test_a_file_that_is_not_a_photograph_is_rejected(data, reason):
    assert reason_of(data) == reason


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("animated.png", "not supported: animation (2 frames)"),
        ("animated.webp", "not supported: animation (2 frames)"),
        ("animated.gif", "not supported: animation (2 frames)"),
        ("pages.tif", "not supported: several pages (2)"),
    ],
)
def test_several_frames(name, reason):
    assert reason_of(SAMPLES[name]) == reason


@pytest.mark.parametrize("name", list(STILL))
def test_a_picture_cut_in_half_is_truncated(name):
    data = STILL[name]
    assert reason_of(data[: len(data) * 3 // 4]).startswith(("truncated", "damaged"))


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM"])
def test_truncation_is_named(name):
    data = encoded(picture("RGB", height=200, width=300), name)
    assert reason_of(data[: len(data) * 2 // 3]) == f"truncated {name}"


@pytest.mark.parametrize("name", list(STILL))
def test_every_truncation_is_rejected_or_harmless(name):
    whole = decode(STILL[name], LIMIT)
    for length in range(len(STILL[name])):
        try:
            part = decode(STILL[name][:length], LIMIT)
        except ImageRejected:
            continue
        np.testing.assert_array_equal(part.rgb, whole.rgb)


def test_a_flipped_bit_in_a_png_is_damage():
    data = bytearray(SAMPLES["colour.png"])
    data[data.index(b"IDAT") + 20] ^= 4
    assert reason_of(bytes(data)) == "damaged PNG"


def bomb(name: str) -> bytes:
    """Return a tiny file whose header claims 400 megapixels."""
    if name == "PNG":
        header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
        return (
            b"\x89PNG\r\n\x1a\n"
            + png_chunk(b"IHDR", header)
            + png_chunk(b"IDAT", b"")
            + png_chunk(b"IEND", b"")
        )
    data = bytearray(encoded(picture("RGB"), name))
    if name == "JPEG":
        start = data.index(b"\xff\xc0") + 5
        data[start : start + 4] = struct.pack(">HH", 20_000, 20_000)
    elif name == "GIF":
        data[6:10] = struct.pack("<HH", 20_000, 20_000)
    elif name == "BMP":
        data[18:26] = struct.pack("<ii", 20_000, 20_000)
    elif name == "TIFF":
        for tag in (b"\0\1\4\0\1\0\0\0", b"\1\1\4\0\1\0\0\0"):
            at = data.index(tag) + 8
            data[at : at + 4] = struct.pack("<I", 20_000)
    else:
        data = bytearray(b"P6 20000 20000 255\n")
    return bytes(data)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "GIF", "BMP", "PPM", "TIFF"])
def test_a_bomb_is_known_by_its_header(name, monkeypatch):
    def explode(*_):
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", explode)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reason_of(bomb(name), 300_000_000) == "400 megapixels, over the limit of 300"


def test_a_webp_bomb_is_rejected_by_its_header():
    data = bytearray(encoded(picture("RGB"), "WEBP", exif=exif_block()))
    assert data[12:16] == b"VP8X"
    data[24:30] = b"\xff\xff\xff" * 2
    assert reason_of(bytes(data)) == "more pixels than Pillow reads of a WEBP"


def test_the_limit_is_inclusive():
    assert decode(SAMPLES["colour.png"], 16 * 24).width == 24
    assert reason_of(SAMPLES["colour.png"], 16 * 24 - 1) == "0.000384 megapixels, over the limit of 0.000383"


@pytest.mark.parametrize("name", list(STILL))
def test_the_limit_holds_for_every_format(name):
    assert "megapixels, over the limit" in reason_of(STILL[name], 16 * 24 - 1)


def test_wide_samples_and_lab_are_rejected():
    for pixels in (np.float32, np.int32):
        data = encoded(Image.fromarray(photo()[..., 0].astype(pixels)), "TIFF")
        assert reason_of(data) == "not supported: TIFF of signed or floating-point samples"
    lab = encoded(Image.new("LAB", (4, 4)), "TIFF")
    assert reason_of(lab) == "not supported: LAB colours"


@pytest.mark.parametrize("tags", [{50706: b"\1\4\0\0"}, {254: 1}])
def test_the_thumbnail_of_a_raw_camera_file_is_not_the_photograph(tags):
    assert (
        reason_of(encoded(picture("RGB"), "TIFF", tiffinfo=tags))
        == f"not supported: raw camera file ({way_out(RAW)})"
    )


def test_a_lack_of_memory_is_not_a_fault_of_the_image(monkeypatch):
    def no_memory(*_):
        raise MemoryError

    monkeypatch.setitem(decoding._OPENERS, "PNG", no_memory)
    with pytest.raises(MemoryError):
        decode(SAMPLES["colour.png"], LIMIT)


def test_odd_metadata_neither_warns_nor_rejects():
    actl = png_chunk(b"acTL", bytes(8))  # an animation without frames, about which Pillow warns
    data = png_of(photo(), 2)
    data = data[:33] + actl + data[33:]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="APNG"):
            PngImagePlugin.PngImageFile(io.BytesIO(data))
        assert isinstance(decode(data, LIMIT), Picture)
    assert not caught


def test_truncated_loading_stays_off():
    decode(SAMPLES["baseline.jpg"], LIMIT)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_threads_decode_side_by_side():
    expected = {name: decode(data, LIMIT).rgb for name, data in STILL.items()}
    wrong: list[str] = []

    def work() -> None:
        for name, data in list(STILL.items()) * 5:
            if not np.array_equal(decode(data, LIMIT).rgb, expected[name]):
                wrong.append(name)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def outcome(data: bytes) -> None:
    try:
        result = decode(data, LIMIT)
    except ImageRejected:
        return
    assert result.rgb.dtype == np.uint8
    assert result.rgb.ndim == 3


@FUZZ
@given(st.binary(max_size=400), st.sampled_from(sorted(SAMPLES)), st.integers(0, 60))
def test_random_bytes_behind_a_real_beginning(tail, name, kept):
    outcome(SAMPLES[name][:kept] + tail)


@FUZZ
@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_flipped_bits(name, data):
    damaged = bytearray(SAMPLES[name])
    # Headers are small compared with pixels, so half of the flips are in headers.
    where = st.one_of(st.integers(0, 120), st.integers(0, len(damaged) - 1))
    for position, bit in data.draw(st.lists(st.tuples(where, st.integers(0, 7)), min_size=1, max_size=12)):
        damaged[min(position, len(damaged) - 1)] ^= 1 << bit
    outcome(bytes(damaged))


@FUZZ
@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_a_piece_taken_out(name, data):
    whole = SAMPLES[name]
    start = data.draw(st.integers(0, len(whole) - 1))
    outcome(whole[:start] + whole[data.draw(st.integers(start, len(whole))) :])


@FUZZ
@given(st.binary(max_size=200), st.integers(0, 40))
def test_random_exif_never_rejects_the_picture(noise, kept):
    block = exif_block(6)[:kept] + noise
    result = decode(encoded(picture("RGB"), "JPEG", exif=block), LIMIT)
    assert sorted((result.height, result.width)) == [16, 24]


def test_samples_are_what_they_say():
    for name, data in STILL.items():
        assert sorted(reopened(data).size) == [16, 24], name
