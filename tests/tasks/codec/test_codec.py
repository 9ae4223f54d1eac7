"""Decoding and encoding: orientation, metadata, pixel layouts and formats."""

import io
import struct
import warnings

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin
from PIL.JpegImagePlugin import get_sampling

from tasks.codec import Export, ImageRejected, decode, encode, require_exportable
from tests.support.samples.images import (
    LIMIT,
    encoded,
    exif_block,
    photo,
    picture,
    reopened,
    samples,
    srgb_profile,
)

SAME, PNG, JPEG = Export("same"), Export("png"), Export("jpeg")
ORIENTATION = 0x0112


def there_and_back(data: bytes, export: Export = SAME) -> Image.Image:
    source = decode(data, LIMIT)
    return reopened(encode(source.rgb, source, export))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied_and_removed(name, orientation):
    data = encoded(picture("RGB"), name, exif=exif_block(orientation))
    expected = ImageOps.exif_transpose(reopened(data))

    source = decode(data, LIMIT)

    np.testing.assert_array_equal(source.rgb, np.asarray(expected.convert("RGB")))
    output = reopened(encode(source.rgb, source, SAME))
    assert output.size == expected.size
    assert output.getexif().get(ORIENTATION, 1) == 1
    assert output.getexif()[0x010F] == "Camera maker"
    assert output.getexif().get_ifd(0x8769)[0x829A] == 0.25
    assert output.getexif().get_ifd(0x8825)[1] == "N"


def test_exif_keeps_maker_notes_in_place_and_loses_the_thumbnail():
    exif = Image.Exif()
    exif.load(exif_block(6))
    exif.get_ifd(0x8769)[0x927C] = b"maker note" * 20
    exif.get_ifd(1)[0x0201] = 4
    block = exif.tobytes()
    kept = decode(encoded(picture("RGB"), "JPEG", exif=block), LIMIT).form.metadata.exif

    assert len(kept) == len(block) - len(b"Exif\0\0")
    assert kept.index(b"maker note") == block.index(b"maker note") - len(b"Exif\0\0")
    read = Image.Exif()
    read.load(kept)
    assert ORIENTATION not in read
    assert not read.get_ifd(1)
    assert read.get_ifd(0x8769)[0x927C] == b"maker note" * 20


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("entries", "turns"),
    [([(3, 6)], -1), ([(4, 6)], -1), ([(9, 6)], -1), ([(3, 6), (3, 3)], -1), ([(3, 1), (3, 6)], 0)],
)
def test_an_orientation_may_be_a_long_and_the_first_of_several_counts(order, entries, turns):
    shorts = {3: "HHIH2x", 4: "HHII", 9: "HHIi"}
    fields = b"".join(struct.pack(order + shorts[kind], 0x0112, kind, 1, value) for kind, value in entries)
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "IH", 8, len(entries))
    data = encoded(picture("RGB"), "PNG", exif=head + fields + bytes(4))
    np.testing.assert_array_equal(decode(data, LIMIT).rgb, np.rot90(photo(), turns))


def test_exif_of_orientation_alone_is_not_kept():
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    source = decode(encoded(picture("RGB"), "JPEG", exif=exif), LIMIT)
    assert source.form.metadata.exif is None


@pytest.mark.parametrize(
    "block",
    [b"Exif\0\0", b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"],
)
def test_broken_exif_does_not_reject_the_picture(block):
    source = decode(encoded(picture("RGB"), "JPEG", exif=block), LIMIT)
    assert source.form.metadata.exif is None


def test_exif_in_png_text_is_found():
    block = exif_block(6)
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(block):8}\n{block.hex()}\n", zip=True)
    source = decode(encoded(picture("RGB"), "PNG", pnginfo=text), LIMIT)
    assert (source.height, source.width) == (16, 24)
    assert source.form.metadata.exif is not None


@pytest.mark.parametrize("export", [SAME, PNG, JPEG])
@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF"])
def test_profile_and_resolution_are_kept(name, export):
    data = encoded(picture("RGB"), name, icc_profile=srgb_profile(), dpi=(300, 200))
    output = there_and_back(data, export)
    assert output.info["icc_profile"] == srgb_profile()
    assert output.info["dpi"] == pytest.approx((300, 200), abs=0.02)


def test_resolution_is_turned_with_the_picture():
    data = encoded(picture("RGB"), "JPEG", exif=exif_block(6), dpi=(300, 200))
    assert decode(data, LIMIT).form.metadata.dpi == (200, 300)


def test_webp_keeps_profile_and_losslessness():
    data = encoded(picture("RGBA"), "WEBP", lossless=True, exact=True, icc_profile=srgb_profile())
    output = there_and_back(data)
    assert output.info["icc_profile"] == srgb_profile()
    np.testing.assert_array_equal(np.asarray(output), np.asarray(picture("RGBA")))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_keeps_chroma_and_progression(subsampling, progressive):
    data = encoded(picture("RGB"), "JPEG", subsampling=subsampling, progressive=progressive)
    output = Image.open(io.BytesIO(encode(decode(data, LIMIT).rgb, decode(data, LIMIT), SAME)))
    assert get_sampling(output) == subsampling
    assert ("progressive" in output.info) == progressive


def test_jpeg_of_another_format_keeps_full_chroma():
    source = decode(encoded(picture("RGB"), "PNG"), LIMIT)
    assert get_sampling(Image.open(io.BytesIO(encode(source.rgb, source, JPEG)))) == 0


def test_quality_is_that_of_the_export():
    source = decode(encoded(picture("RGB", height=64, width=64), "JPEG"), LIMIT)
    sizes = [len(encode(source.rgb, source, Export("same", quality))) for quality in (50, 92, 100)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2]


def test_progressive_noise_is_written_all_the_same():
    noise = np.random.default_rng(0).integers(0, 2, (600, 700, 3)).astype(np.uint8) * 255
    data = encoded(picture("RGB", height=600, width=700), "JPEG", progressive=True, subsampling=0)
    output = reopened(encode(noise, decode(data, LIMIT), Export("same", 100)))
    assert np.abs(np.asarray(output).astype(int) - noise).mean() < 3


def test_several_pictures_of_a_camera_count_as_the_first():
    data = encoded(picture("RGB"), "MPO", save_all=True, append_images=[picture("RGB", seed=9)])
    assert getattr(Image.open(io.BytesIO(data)), "n_frames", 1) == 2
    source = decode(data, LIMIT)
    assert source.form.format == "JPEG"
    first, second = (np.abs(source.rgb.astype(int) - photo(seed=seed)).mean() for seed in (0, 9))
    assert first < second


@pytest.mark.parametrize("name", ["still.gif", "colour.ppm", "colour.jp2", "colour.avif"])
def test_formats_that_are_only_read_name_the_way_out(name):
    source = decode(samples()[name], LIMIT)
    with pytest.raises(ImageRejected, match="--export png"):
        require_exportable(source, SAME)
    with pytest.raises(ImageRejected, match="--export png"):
        encode(source.rgb, source, SAME)
    assert reopened(encode(source.rgb, source, PNG)).format == "PNG"
    assert reopened(encode(source.rgb, source, JPEG)).format == "JPEG"


def test_too_long_for_jpeg_names_the_way_out():
    source = decode(encoded(picture("RGB", height=1, width=70_000), "PNG"), LIMIT)
    with pytest.raises(ImageRejected, match="--export png"):
        encode(source.rgb, source, JPEG)
    assert reopened(encode(source.rgb, source, PNG)).size == (70_000, 1)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (20, 16_383)])
def test_odd_sizes_keep_their_size_and_format(name, size):
    data = encoded(picture("RGB", height=size[0], width=size[1]), name)
    output = there_and_back(data)
    assert (output.format, output.size) == (name, size[::-1])


def test_a_long_strip_is_fine():
    assert there_and_back(encoded(picture("RGB", height=20, width=20_000), "JPEG")).size == (20_000, 20)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_tiff_pixels_and_compression(compression, mode):
    data = encoded(picture(mode, height=700, width=600), "TIFF", compression=compression)
    source = decode(data, LIMIT)
    output = reopened(encode(source.rgb, source, SAME))
    np.testing.assert_array_equal(np.asarray(output), np.asarray(reopened(data)))
    assert (output.info["compression"] == "raw") == (compression == "raw")


def test_decoded_pixels_may_be_written_to():
    source = decode(encoded(picture("RGBA"), "PNG"), LIMIT)
    assert source.rgb.flags.writeable
    assert source.rgb.flags.c_contiguous
    assert source.alpha.flags.writeable


@pytest.mark.parametrize("export", [SAME, PNG, JPEG])
def test_the_same_bytes_every_time(export):
    for name, data in samples().items():
        if name.startswith(("animated", "pages")) or (
            export is SAME and name.endswith(("gif", "ppm", "jp2", "avif"))
        ):
            continue
        first, second = decode(data, LIMIT), decode(data, LIMIT)
        assert encode(first.rgb, first, export) == encode(second.rgb, second, export), name


def test_decoding_does_not_lean_on_pillows_limit(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)  # 384 pixels: a warning from Image.open
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in (
            "baseline.jpg",
            "colour.png",
            "raw.tif",
            "lzw.tif",
            "lossy.webp",
            "colour.bmp",
            "still.gif",
        ):
            assert decode(samples()[name], LIMIT).rgb.size == 16 * 24 * 3
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # an error from Image.open
    for name in ("baseline.jpg", "colour.png", "raw.tif", "lzw.tif", "colour.bmp", "still.gif"):
        assert decode(samples()[name], LIMIT).rgb.size == 16 * 24 * 3


@pytest.mark.parametrize("rgb", [np.zeros((24, 17, 3), np.uint8), np.zeros((24, 16, 3), np.float32)])
def test_foreign_pixels_are_a_programming_error(rgb):
    source = decode(samples()["colour.png"], LIMIT)
    with pytest.raises(ValueError, match="derained pixels"):
        encode(rgb, source, SAME)


@pytest.mark.parametrize(
    ("export", "label"), [(Export(), "same-q92"), (PNG, "png"), (Export("jpeg", 80), "jpeg-q80")]
)
def test_label(export, label):
    assert export.label == label


@pytest.mark.parametrize("arguments", [("gif", 92), ("jpeg", 0), ("jpeg", 101)])
def test_impossible_exports(arguments):
    with pytest.raises(ValueError, match=r"export|quality"):
        Export(*arguments)
