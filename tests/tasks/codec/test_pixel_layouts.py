"""Grey, 16-bit, palette, CMYK and transparent sources: each has one defined result."""

import io

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from tasks.codec import Export, decode, encode
from tasks.codec.formats.bmp import write_bmp_with_alpha
from tests.support.samples.images import (
    LIMIT,
    encoded,
    labelled_profile,
    photo,
    picture,
    png_of,
    reopened,
    srgb_profile,
)

SAME, PNG, JPEG = Export("same"), Export("png"), Export("jpeg")


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_stays_grey(mode):
    data = encoded(picture(mode), "PNG")
    source = decode(data, LIMIT)
    np.testing.assert_array_equal(source.rgb[..., 0], np.asarray(picture(mode).convert("L")))
    np.testing.assert_array_equal(source.rgb[..., 0], source.rgb[..., 2])
    for export, name in ((SAME, "PNG"), (JPEG, "JPEG")):
        output = reopened(encode(source.rgb, source, export))
        assert (output.mode, output.format) == ("L", name)


def test_grey_is_the_luma_of_what_comes_back():
    source = decode(encoded(picture("L"), "PNG"), LIMIT)
    coloured = photo(seed=5)
    output = np.asarray(reopened(encode(coloured, source, SAME)))
    luma = coloured @ np.array([0.299, 0.587, 0.114])
    assert np.abs(output - luma).max() <= 0.51


@pytest.mark.parametrize("name", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb_without_its_profile(name):
    data = encoded(picture("CMYK"), name, icc_profile=labelled_profile(b"CMYK"))
    source = decode(data, LIMIT)
    assert np.abs(source.rgb.astype(int) - photo()).mean() < 12
    output = reopened(encode(source.rgb, source, SAME))
    assert output.mode == "RGB"
    assert "icc_profile" not in output.info


def test_profile_of_another_colour_space_is_dropped():
    grey = encoded(picture("L"), "PNG", icc_profile=labelled_profile(b"GRAY"))
    assert decode(grey, LIMIT).form.metadata.icc_profile is not None
    wrong = encoded(picture("L"), "JPEG", icc_profile=srgb_profile())
    assert decode(wrong, LIMIT).form.metadata.icc_profile is None


def sixteen_bits() -> np.ndarray:
    return (photo().astype(np.uint16) << 8) + np.random.default_rng(1).integers(0, 256, (24, 16, 3)).astype(
        np.uint16
    )


@pytest.mark.parametrize("name", ["PNG", "TIFF", "JPEG2000", "PPM"])
def test_sixteen_bit_grey_is_its_high_byte(name):
    wide = sixteen_bits()[..., 0]
    source = decode(encoded(Image.fromarray(wide), name), LIMIT)
    assert source.form.mode == "L"
    np.testing.assert_array_equal(source.rgb[..., 0], wide >> 8)


def test_sixteen_bit_colour_is_its_high_byte():
    source = decode(png_of(sixteen_bits(), 2), LIMIT)
    np.testing.assert_array_equal(source.rgb, sixteen_bits() >> 8)
    assert source.form.mode == "RGB"


def test_sixteen_bit_tiff_colour_is_its_high_byte():
    wide = sixteen_bits()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    layout = {256: 16, 257: 24, 258: (16, 16, 16), 259: 1, 262: 2, 277: 3, 278: 24, 273: 0, 279: wide.nbytes}
    for tag, value in layout.items():
        tags[tag] = value
    buffer = io.BytesIO()
    tags.save(buffer)
    source = decode(buffer.getvalue() + wide.tobytes(), LIMIT)
    np.testing.assert_array_equal(source.rgb, wide >> 8)


def test_sixteen_bit_grey_with_alpha_stays_grey():
    source = decode(png_of(sixteen_bits()[..., :2], 4), LIMIT)
    assert source.form.mode == "LA"
    np.testing.assert_array_equal(source.rgb[..., 0], sixteen_bits()[..., 0] >> 8)
    np.testing.assert_array_equal(source.alpha, sixteen_bits()[..., 1] >> 8)


@pytest.mark.parametrize(("photometric", "bits"), [(0, 16), (1, 16), (1, 12)])
def test_wide_tiff_grey_by_its_own_scale(photometric, bits):
    wide = sixteen_bits()[..., 0] >> (16 - bits)
    if bits == 12:
        pairs = wide.reshape(-1, 2).astype(np.uint32)
        packed = (pairs[:, 0] << 12) | pairs[:, 1]
        body = np.stack([packed >> 16, packed >> 8, packed], axis=1).astype(np.uint8).tobytes()
    else:
        body = wide.tobytes()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    layout = {256: 16, 257: 24, 258: bits, 259: 1, 262: photometric, 277: 1, 278: 24, 273: 0, 279: len(body)}
    for tag, value in layout.items():
        tags[tag] = value
    buffer = io.BytesIO()
    tags.save(buffer)
    source = decode(buffer.getvalue() + body, LIMIT)
    high = (wide >> (bits - 8)).astype(np.uint8)
    np.testing.assert_array_equal(source.rgb[..., 0], high if photometric == 1 else 255 - high)


@pytest.mark.parametrize("name", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_untouched(name, mode):
    source = decode(encoded(picture(mode), name), LIMIT)
    output = reopened(encode(255 - source.rgb, source, SAME))
    assert (output.mode, output.format) == (mode, name)
    np.testing.assert_array_equal(np.asarray(output)[..., -1], photo(seed=1)[..., 0])


def test_alpha_is_untouched_in_lossy_webp():
    source = decode(encoded(picture("RGBA"), "WEBP"), LIMIT)
    output = reopened(encode(source.rgb, source, SAME))
    np.testing.assert_array_equal(np.asarray(output)[..., 3], photo(seed=1)[..., 0])


def test_alpha_is_untouched_in_bmp():
    rgba = np.asarray(picture("RGBA"))
    data = write_bmp_with_alpha(rgba, (300, 200))
    np.testing.assert_array_equal(np.asarray(reopened(data)), rgba)
    assert decode(data, LIMIT).form.metadata.dpi == pytest.approx((300, 200), abs=0.02)
    np.testing.assert_array_equal(
        np.asarray(reopened(encode(decode(data, LIMIT).rgb, decode(data, LIMIT), SAME))), rgba
    )


def test_transparent_palette_becomes_rgba():
    palette = picture("RGB").quantize(8)
    data = encoded(palette, "PNG", transparency=bytes([0, 128, 255]))
    source = decode(data, LIMIT)
    np.testing.assert_array_equal(
        np.dstack([source.rgb, source.alpha]), np.asarray(reopened(data).convert("RGBA"))
    )
    assert reopened(encode(source.rgb, source, SAME)).mode == "RGBA"


def test_palette_becomes_rgb():
    palette = picture("RGB").quantize(8)
    source = decode(encoded(palette, "PNG"), LIMIT)
    np.testing.assert_array_equal(source.rgb, np.asarray(palette.convert("RGB")))
    assert source.alpha is None


@pytest.mark.parametrize(("depth", "row"), [(1, [0b00111111]), (2, [0b00110111]), (4, [0x0F]), (8, [0, 255])])
def test_transparent_grey_counts_in_its_own_depth(depth, row):
    white = bytes([0, 2**depth - 1])
    source = decode(png_of(np.array([row], np.uint8), 0, depth, transparent=white), LIMIT)
    assert source.form.mode == "LA"
    np.testing.assert_array_equal(source.alpha == 0, source.rgb[..., 0] == 255)
    assert set(source.alpha.ravel().tolist()) == {0, 255}


def test_transparent_colour_becomes_alpha():
    colour = tuple(int(level) for level in photo()[3, 4])
    source = decode(encoded(picture("RGB"), "PNG", transparency=colour), LIMIT)
    np.testing.assert_array_equal(source.alpha == 0, (photo() == colour).all(axis=2))
    assert source.alpha[3, 4] == 0


def test_transparent_sixteen_bit_grey_is_exact():
    wide = sixteen_bits()[..., 0]
    source = decode(png_of(wide, 0, transparent=int(wide[2, 3]).to_bytes(2, "big")), LIMIT)
    np.testing.assert_array_equal(source.alpha == 0, wide == wide[2, 3])


def test_alpha_forced_to_jpeg_is_composited_on_white():
    source = decode(encoded(picture("RGBA"), "PNG"), LIMIT)
    clear = encode(source.rgb, source, PNG)
    expected = Image.alpha_composite(Image.new("RGBA", (16, 24), "white"), reopened(clear)).convert("RGB")
    output = reopened(encode(source.rgb, source, Export("jpeg", 100)))
    assert np.abs(np.asarray(output).astype(int) - np.asarray(expected)).mean() < 2
