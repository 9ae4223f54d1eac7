"""Every layout of a TIFF that tifffile writes: what is accepted has the pixels that tifffile reads."""

import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import tifffile

from tasks.codec import ImageRejected, Picture, decode
from tests.support.samples.images import LIMIT

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
            continue  # nobody writes these
        if (kind == "palette" and dtype + str(bits) != "u18") or (predictor and not is_plain):
            continue
        if (big or not is_plain) and (compression not in (None, "zlib") or pieces != "strips"):
            continue  # one way of cutting in pieces will do for these
        yield Layout(kind, byteorder, dtype, bits, planes, compression, predictor, pieces, big)


LAYOUTS = list(layouts())


def written(layout: Layout) -> tuple[bytes, np.ndarray | None]:
    """A TIFF, and the colours of its palette, (3, 256) of 16 bits."""
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
    """What tifffile reads, eight bits, (H, W, samples)."""
    read = tifffile.imread(io.BytesIO(data))
    if layout.planes == "separate":
        read = np.moveaxis(read, 0, 2)
    if colours is not None:
        return (colours[:, read] >> 8).transpose(1, 2, 0)
    samples = read.reshape(HEIGHT, WIDTH, -1).astype(np.int64)
    eight = samples >> 8 if layout.bits == 16 else samples * 255 // (2**layout.bits - 1)
    return 255 - eight if layout.kind == "white is zero" else eight


def difference(layout: Layout, picture: Picture, wanted: np.ndarray) -> int:
    """The largest distance from what it should be; the arithmetic of ink and of alpha rounds."""
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
    """How far each layout is from what tifffile reads, or why it is rejected."""
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


def test_of_1578_layouts_every_accepted_one_has_the_pixels_that_tifffile_reads(outcomes):
    assert len(outcomes) == 1578
    distances = {layout: outcome for layout, outcome in outcomes.items() if not isinstance(outcome, str)}
    assert not {layout for layout, distance in distances.items() if distance > 0}


def test_valid_layouts_are_not_called_damaged(outcomes):
    reasons = {outcome for outcome in outcomes.values() if isinstance(outcome, str)}
    assert all(reason.startswith("not supported: ") for reason in reasons), reasons


def test_what_photographs_are_stored_in_is_accepted(outcomes):
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
