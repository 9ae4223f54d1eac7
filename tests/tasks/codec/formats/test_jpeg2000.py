"""Metadata in the boxes of a JPEG 2000 file, which its outputs keep or name as dropped."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from tasks.codec import Export, ImageRejected, decode, dropped, encode
from tests.support.samples.images import LIMIT, exif_block, labelled_profile, photo, reopened, srgb_profile

PNG, JPEG = Export("png"), Export("jpeg")
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:creator="Ada"/>'
XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + XMP
GEOGRAPHIC_BOX = bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03") + b"II*\0"


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), name) + body


def long_box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4sQ", 1, name, 16 + len(body)) + body


def jp2(*colours: bytes, before: bytes = b"", behind: bytes = b"", pixels: np.ndarray | None = None) -> bytes:
    """Return a JPEG 2000 with these colour descriptions, and boxes before and behind the picture."""
    data = imagecodecs.jpeg2k_encode(
        photo() if pixels is None else pixels, codecformat="jp2", reversible=True
    )
    header, colour, stream = (data.index(name) - 4 for name in (b"jp2h", b"colr", b"jp2c"))
    size = int.from_bytes(data[colour : colour + 4], "big")
    inner = data[header + 8 : colour] + b"".join(box(b"colr", body) for body in colours)
    inner += data[colour + size : stream]
    return data[:header] + box(b"jp2h", inner) + before + box(b"jp2c", data[stream + 8 :]) + behind


SRGB = struct.pack(">BBBI", 1, 0, 0, 16)
PROFILE = b"\2\0\0" + srgb_profile()


@pytest.mark.parametrize("export", [PNG, JPEG])
@pytest.mark.parametrize("is_behind", [False, True])
def test_profile_exif_and_xmp_are_kept(export: Export, is_behind: bool) -> None:
    boxes = box(b"uuid", XMP_BOX) + long_box(b"uuid", b"JpgTiffExif->JP2" + exif_block(6))
    data = jp2(PROFILE, behind=boxes) if is_behind else jp2(PROFILE, before=boxes)
    source = decode(data, LIMIT)
    np.testing.assert_array_equal(source.rgb, np.rot90(photo(), -1))
    assert dropped(source, export) == ()
    output = encode(source.rgb, source, export)
    kept = decode(output, LIMIT).form.metadata
    assert (kept.icc_profile, kept.xmp) == (srgb_profile(), XMP)
    wanted = Image.Exif()
    wanted.load(exif_block(6))
    assert dict(reopened(output).getexif()) == {tag: wanted[tag] for tag in wanted if tag != 0x0112}


def test_a_profile_of_another_colour_space_is_said_to_be_dropped() -> None:
    data = jp2(b"\2\0\0" + labelled_profile(b"GRAY"))
    assert dropped(decode(data, LIMIT), PNG) == ("ICC profile",)


def test_a_georeference_is_said_to_be_dropped() -> None:
    for geographic in (box(b"uuid", GEOGRAPHIC_BOX), box(b"asoc", box(b"lbl ", b"gml.data"))):
        assert dropped(decode(jp2(SRGB, before=geographic), LIMIT), PNG) == ("georeference",)


def test_colours_that_pillow_takes_for_rgb_are_not_supported() -> None:
    lab = struct.pack(">BBBI", 1, 0, 0, 14)
    with pytest.raises(ImageRejected, match=r"^not supported: JPEG 2000 of colour space 14$"):
        decode(jp2(lab), LIMIT)
    np.testing.assert_array_equal(decode(jp2(lab, SRGB), LIMIT).rgb, photo())


def test_damaged_boxes_behind_the_picture_do_not_reject_it() -> None:
    for behind in (b"\0\0\0\1uuid", b"\xff\xff\xff\xffuuid" + XMP_BOX, b"\0\0\0\0uuid"):
        np.testing.assert_array_equal(decode(jp2(SRGB, behind=behind), LIMIT).rgb, photo())
