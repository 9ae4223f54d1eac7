"""Every TIFF layout that tifffile writes: accepted files have the pixels that tifffile reads."""

import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from tasks.codec import ImageRejected, Picture, decode
from tests.support.samples.images import LIMIT, encoded, photo, picture, reopened

HEIGHT, WIDTH = 20, 37
KINDS: dict[str, tuple[int, str, tuple[str, ...]]] = {
    "grey": (1, "minisblack", ()),
    "white is zero": (1, "miniswhite", ()),
    "palette": (1, "palette", ()),
    "grey, alpha": (2, "minisblack", ("unassalpha",)),
    "RGB": (3, "rgb", ()),
    "RGB, alpha": (4, "rgb", ("unassalpha",)),
    "RGB, alpha multiplied in": (4, "rgb", ("assocalpha",)),
    "RGB, another channel": (4, "rgb", ("unspecified",)),
    "CMYK": (4, "separated", ()),
}
PIECES: dict[str, dict[str, Any]] = {
    "strip": {"rowsperstrip": HEIGHT},
    "strips": {"rowsperstrip": 7},
    "tiles": {"tile": (16, 16)},
}


@dataclass(frozen=True)
class Layout:
    kind: str
    byteorder: str
    dtype: str
    bits: int
    planes: str
    compression: str | None
    predictor: bool
    pieces: str
    bigtiff: bool


def layouts() -> Iterator[Layout]:
    depths = (("u1", 1), ("u1", 2), ("u1", 4), ("u1", 8), ("u2", 16), ("i1", 8), ("i2", 16), ("f4", 32))
    packings = (
        (None, False),
        ("packbits", False),
        ("lzw", False),
        ("lzw", True),
        ("zlib", False),
        ("zlib", True),
    )
    for kind, byteorder, (dtype, bits), planes, (compression, predictor), pieces, big in itertools.product(
        KINDS, "<>", depths, ("contig", "separate"), packings, PIECES, (False, True)
    ):
        samples = KINDS[kind][0]
        is_plain = dtype in ("u1", "u2") and bits >= 8
        if (bits < 8 and (samples > 1 or compression)) or (samples == 1 and planes == "separate"):
            continue  # no program writes these
        if (kind == "palette" and dtype + str(bits) != "u18") or (predictor and not is_plain):
            continue
        if (big or not is_plain) and (compression not in (None, "zlib") or pieces != "strips"):
            continue  # one way of dividing into strips or tiles suffices for these
        yield Layout(kind, byteorder, dtype, bits, planes, compression, predictor, pieces, big)


LAYOUTS = list(layouts())


def written(layout: Layout) -> tuple[bytes, np.ndarray | None]:
    """Return a TIFF, and the colours of its palette, (3, 256) of 16 bits."""
    samples, photometric, extra = KINDS[layout.kind]
    generator = np.random.default_rng(len(layout.kind))
    top = 2 ** min(layout.bits, 16) - 1
    pixels = generator.integers(top // 2, top + 1, (HEIGHT, WIDTH, samples)).astype(layout.dtype)
    if photometric == "rgb" and extra == ("assocalpha",):
        pixels[..., :3] = np.minimum(pixels[..., :3], pixels[..., 3:])
    colours = generator.integers(0, 65536, (3, 256)).astype(np.uint16) if photometric == "palette" else None
    shaped = pixels[..., 0] if samples == 1 else pixels
    options: dict[str, Any] = {"extrasamples": extra} if extra else {}
    if samples > 1:
        options["planarconfig"] = layout.planes
        shaped = np.moveaxis(pixels, 2, 0) if layout.planes == "separate" else pixels
    if layout.bits < 8:
        options["bitspersample"] = layout.bits
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer, shaped, photometric=photometric, byteorder=layout.byteorder, bigtiff=layout.bigtiff,
        compression=layout.compression, predictor=layout.predictor, colormap=colours, metadata=None,
        **PIECES[layout.pieces], **options,
    )  # fmt: skip
    return buffer.getvalue(), colours


def expected(layout: Layout, data: bytes, colours: np.ndarray | None) -> np.ndarray:
    """Return the pixels that tifffile reads, in eight bits, (H, W, samples)."""
    read = tifffile.imread(io.BytesIO(data))
    if layout.planes == "separate":
        read = np.moveaxis(read, 0, 2)
    if colours is not None:
        return (colours[:, read] >> 8).transpose(1, 2, 0)
    samples = read.reshape(HEIGHT, WIDTH, -1).astype(np.int64)
    eight = samples >> 8 if layout.bits == 16 else samples * 255 // (2**layout.bits - 1)
    return 255 - eight if layout.kind == "white is zero" else eight


def difference(layout: Layout, picture: Picture, wanted: np.ndarray) -> int:
    """Return the largest difference from the expected value; the arithmetic of ink and of alpha rounds."""
    tolerance, colour = 0, wanted[..., :3]
    if layout.kind == "CMYK":
        tolerance, colour = 1, (255 - wanted[..., :3]) * (255 - wanted[..., 3:]) / 255
    elif layout.kind == "RGB, alpha multiplied in":
        tolerance, colour = 2, wanted[..., :3] * 255 / wanted[..., 3:]
    elif wanted.shape[2] <= 2:
        colour = wanted[..., :1]
    distances = [np.abs(picture.rgb - colour).max() - tolerance]
    if layout.kind.startswith(("grey, alpha", "RGB, alpha")):
        assert picture.alpha is not None
        distances.append(np.abs(picture.alpha - wanted[..., -1]).max())
    else:
        assert picture.alpha is None
    return int(max(distances))


@pytest.fixture(scope="module")
def outcomes() -> dict[Layout, int | str]:
    """Return for each layout the difference from tifffile's pixels, or the reason for rejection."""
    found: dict[Layout, int | str] = {}
    for layout in LAYOUTS:
        data, colours = written(layout)
        try:
            picture = decode(data, LIMIT)
        except ImageRejected as rejected:
            found[layout] = rejected.reason
        else:
            found[layout] = difference(layout, picture, expected(layout, data, colours))
    return found


def test_each_accepted_one_of_1578_layouts_has_the_pixels_that_tifffile_reads(outcomes):
    assert len(outcomes) == 1578
    distances = {layout: outcome for layout, outcome in outcomes.items() if not isinstance(outcome, str)}
    assert not {layout for layout, distance in distances.items() if distance > 0}


def test_valid_layouts_are_not_called_damaged(outcomes):
    reasons = {outcome for outcome in outcomes.values() if isinstance(outcome, str)}
    assert all(reason.startswith("not supported: ") for reason in reasons), reasons


def test_common_layouts_of_photographs_are_accepted(outcomes):
    usual = [
        layout
        for layout in outcomes
        if layout.dtype in ("u1", "u2")
        and not (layout.bigtiff and layout.byteorder == ">")
        and (layout.kind.startswith(("RGB", "CMYK", "palette")) or (layout.kind == "grey"))
    ]
    rejected = {layout: outcomes[layout] for layout in usual if isinstance(outcomes[layout], str)}
    assert len(usual) > 526
    assert not {
        layout for layout in rejected if layout.kind != "RGB, another channel" or layout.planes == "contig"
    }


JPEG_LAYOUTS = [
    (kind, planes, pieces)
    for kind in ("minisblack", "rgb", "ycbcr", "separated")
    for planes in ("contig", "separate")
    for pieces in PIECES
    if planes == "contig" or kind in ("rgb", "separated")
]


def photo_as(kind: str, planes: str) -> np.ndarray:
    pixels = photo(64, 64)
    if kind == "minisblack":
        return pixels[..., 0]
    channels = np.dstack([pixels, pixels[..., :1]]) if kind == "separated" else pixels
    return np.ascontiguousarray(np.moveaxis(channels, 2, 0)) if planes == "separate" else channels


def test_18_layouts_of_jpeg_in_tiff_have_the_pixels_that_tifffile_reads():
    assert len(JPEG_LAYOUTS) == 18
    for kind, planes, pieces in JPEG_LAYOUTS:
        buffer = io.BytesIO()
        options = PIECES[pieces] | ({} if kind == "minisblack" else {"planarconfig": planes})
        tifffile.imwrite(
            buffer, photo_as(kind, planes), photometric=kind, compression="jpeg", metadata=None, **options
        )
        read = tifffile.imread(io.BytesIO(buffer.getvalue()))
        colour = (np.moveaxis(read, 0, 2) if planes == "separate" else read).reshape(64, 64, -1).astype(int)
        if kind == "separated":
            colour = (255 - colour[..., :3]) * (255 - colour[..., 3:]) / 255
        assert np.abs(decode(buffer.getvalue(), LIMIT).rgb - colour).max() < 1, (kind, planes, pieces)


@pytest.mark.parametrize("pieces", [{"rowsperstrip": 192}, {"rowsperstrip": 16}, {"tile": (64, 64)}])
@pytest.mark.parametrize("share", [0.4, 0.8])
def test_a_jpeg_in_a_tiff_whose_scan_breaks_off_is_truncated(share, pieces):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, photo(192, 256), photometric="rgb", compression="jpeg", metadata=None, **pieces)
    data = bytearray(buffer.getvalue())
    assert decode(bytes(data), LIMIT).height == 192
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        start, size = file.pages[0].dataoffsets[-1], file.pages[0].databytecounts[-1]
    scan = data.index(b"\xff\xda", start) + 14
    cut = scan + int((start + size - scan) * share)
    data[cut : start + size] = b"\xff\xd9" + bytes(start + size - cut - 2)
    with pytest.raises(ImageRejected, match="truncated TIFF"):
        decode(bytes(data), LIMIT)


@pytest.mark.parametrize("compression", [None, "packbits", "lzw", "zlib"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_luma_and_chroma_become_rgb(planes, compression):
    pixels = np.asarray(Image.fromarray(photo(64, 64)).convert("YCbCr"))
    shaped = np.moveaxis(pixels, 2, 0) if planes == "separate" else pixels
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer, shaped, photometric="ycbcr", planarconfig=planes, compression=compression, subsampling=(1, 1),
        metadata=None,
    )  # fmt: skip
    assert np.abs(decode(buffer.getvalue(), LIMIT).rgb.astype(int) - photo(64, 64)).max() <= 3


REVERSED = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))


@pytest.mark.parametrize("compression", ["raw", "packbits", "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P"])
def test_bits_may_stand_in_reverse(mode, compression):
    image = picture("RGB").convert(mode)
    data = bytearray(encoded(image, "TIFF", compression=compression, tiffinfo={266: 1}))
    page = reopened(bytes(data)).tag_v2
    for start, size in zip(page[273], page[279], strict=True):
        data[start : start + size] = data[start : start + size].translate(REVERSED)
    data[data.index(b"\x0a\x01\x03\0\1\0\0\0") + 8] = 2
    np.testing.assert_array_equal(decode(bytes(data), LIMIT).rgb, np.asarray(image.convert("RGB")))


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, metadata=None, **options)
    return buffer.getvalue()


INKS = np.asarray(picture("CMYK"))
ODD_KINDS = {
    "spot colours": (INKS, {"photometric": "separated", "extratags": [(332, "H", 1, 2, True)]}),
    "five inks": (
        np.dstack([INKS, INKS[..., :1]]),
        {"photometric": "separated", "extratags": [(332, "H", 1, 2, True), (334, "H", 1, 5, True)]},
    ),
    "volume": (np.stack([photo()] * 16), {"photometric": "rgb", "volumetric": True, "tile": (16, 16, 16)}),
    "half floats": (photo().astype(np.float16), {"photometric": "rgb"}),
    "floats": (photo().astype(np.float32), {"photometric": "rgb", "compression": "zlib", "predictor": True}),
}
REASONS = {
    "spot colours": "TIFF of inks other than CMYK",
    "five inks": "TIFF of inks other than CMYK",
    "volume": "TIFF of a volume",
    "half floats": "TIFF of signed or floating-point samples",
    "floats": "TIFF of signed or floating-point samples",
}


@pytest.mark.parametrize("kind", ODD_KINDS)
def test_kinds_that_are_not_read_are_named(kind):
    pixels, options = ODD_KINDS[kind]
    with pytest.raises(ImageRejected) as caught:
        decode(tiff(pixels, **options), LIMIT)
    assert caught.value.reason == f"not supported: {REASONS[kind]}"


@pytest.mark.parametrize("compression", [None, "lzw"])
def test_a_palette_of_eight_bits_is_read_as_libtiff_reads_it(compression):
    colours = np.random.default_rng(3).integers(0, 256, (3, 256)).astype(np.uint16)
    indices = photo()[..., 0].copy()
    data = tiff(indices, photometric="palette", colormap=colours, compression=compression)
    np.testing.assert_array_equal(decode(data, LIMIT).rgb, colours[:, indices].transpose(1, 2, 0))
