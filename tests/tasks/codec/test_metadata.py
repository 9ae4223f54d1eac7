"""Metadata that an output keeps from its source, and reports of metadata that it lacks."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from tasks.codec import Export, decode, dropped, encode
from tasks.codec.formats.png_file import parse_png
from tasks.codec.metadata.appended import kept_with_avif
from tests.support.samples.images import (
    LIMIT,
    encoded,
    exif_block,
    photo,
    picture,
    png_chunk,
    reopened,
    srgb_profile,
)

SAME, PNG, JPEG = Export("same"), Export("png"), Export("jpeg")
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="r"><rdf:Description %s/></rdf:RDF></x:xmpmeta>'
)
CREATOR = XMP % b'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:creator="Ada"'
GAIN_MAP = XMP % b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"'
SRGB_CHUNKS = {
    b"gAMA": struct.pack(">I", 45455),
    b"cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
}
OTHER_CHUNKS = {
    b"gAMA": struct.pack(">I", 100_000),
    b"cHRM": struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000),
    b"cICP": bytes([9, 16, 0, 1]),
}


def through(data: bytes, export: Export = SAME) -> tuple[bytes, tuple[str, ...]]:
    source = decode(data, LIMIT)
    return encode(source.rgb, source, export), dropped(source, export)


def png_with(*chunks: tuple[bytes, bytes]) -> bytes:
    data = encoded(picture("RGB"), "PNG")
    return data[:33] + b"".join(png_chunk(*chunk) for chunk in chunks) + data[33:]


def chunks_of(data: bytes) -> dict[bytes, bytes]:
    return dict(parse_png(data).ancillary)


@pytest.mark.parametrize("name", [b"gAMA", b"cHRM", b"cICP"])
def test_how_to_show_the_colours_of_a_png_stays_with_it(name):
    output, lost = through(png_with((name, OTHER_CHUNKS[name])))
    assert chunks_of(output)[name] == OTHER_CHUNKS[name]
    assert lost == ()
    assert through(png_with((name, OTHER_CHUNKS[name])), JPEG)[1] == (name.decode(),)


@pytest.mark.parametrize("name", [b"sRGB", b"mDCV", b"cLLI"])
def test_chunks_that_explain_the_colours_stay_with_a_png(name):
    body = bytes({b"sRGB": 1, b"mDCV": 24, b"cLLI": 8}[name])
    data = png_with((b"cICP", OTHER_CHUNKS[b"cICP"]), (name, body))
    output, lost = through(data)
    assert (chunks_of(output)[name], lost) == (body, ())
    assert through(data, JPEG)[1] == (("cICP",) if name == b"sRGB" else ("cICP", name.decode()))


def test_colours_that_are_srgb_are_not_lost_in_another_format():
    for chunks in (SRGB_CHUNKS, {b"sRGB": b"\0", **OTHER_CHUNKS, b"cICP": bytes([1, 13, 0, 1])}):
        assert through(png_with(*chunks.items()), JPEG)[1] == ()
    with_profile = png_with(
        (b"iCCP", b"p\0\0" + zlib.compress(srgb_profile())), (b"gAMA", OTHER_CHUNKS[b"gAMA"])
    )
    output, lost = through(with_profile, JPEG)
    assert lost == ()
    assert reopened(output).info["icc_profile"] == srgb_profile()


def test_texts_of_a_png_stay_with_it():
    chunks = [
        (b"tEXt", b"Title\0Rain"),
        (b"zTXt", b"Author\0\0" + zlib.compress(b"Ada" * 9)),
        (b"iTXt", b"K\0\0\0\0\0V"),
    ]
    output, lost = through(png_with(*chunks))
    assert [
        chunk for chunk in parse_png(output).ancillary if chunk[0][1:] == b"EXt" or chunk in chunks
    ] == chunks
    assert lost == ()
    assert through(png_with(*chunks), JPEG)[1] == ("text",)


@pytest.mark.parametrize("size", [1 << 20, 5 << 20])
def test_a_large_profile_and_a_large_text_do_not_reject_a_png(size):
    profile = srgb_profile() + bytes(size)
    text = (b"zTXt", b"Comment\0\0" + zlib.compress(bytes([65]) * size))
    output, lost = through(png_with((b"iCCP", b"p\0\0" + zlib.compress(profile)), text))
    assert parse_png(output).ancillary[0][0] == b"iCCP"
    assert decode(output, LIMIT).form.metadata.icc_profile == profile
    assert lost == ()


def test_a_profile_that_is_a_bomb_or_broken_is_said_to_be_dropped():
    bomb = (b"iCCP", b"p\0\0" + zlib.compress(bytes(40 << 20)))
    assert through(png_with(bomb))[1] == ("ICC profile",)
    assert through(png_with((b"iCCP", b"p\0\0no zlib")))[1] == ("ICC profile",)


def xmp_in(data: bytes) -> bytes | None:
    return decode(data, LIMIT).form.metadata.xmp


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_xmp_is_carried_over(name):
    if name == "PNG":
        data = png_with((b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(CREATOR)))
    elif name == "TIFF":
        data = encoded(picture("RGB"), name, tiffinfo={700: CREATOR})
    else:
        data = encoded(picture("RGB"), name, xmp=CREATOR)
    for export in (SAME, PNG, JPEG):
        output, lost = through(data, export)
        assert xmp_in(output) == CREATOR
        assert lost == ()


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (b'tiff:Orientation="6"', b'tiff:Orientation="1"'),
        (b"<tiff:Orientation>6</tiff:Orientation>", b"<tiff:Orientation>1</tiff:Orientation>"),
    ],
)
def test_xmp_says_that_the_output_is_upright(said, kept):
    output, _ = through(encoded(picture("RGB"), "JPEG", exif=exif_block(6), xmp=XMP % said))
    assert xmp_in(output) == XMP % kept


@pytest.mark.parametrize("name", ["JPEG", "TIFF"])
def test_an_orientation_in_xmp_alone_is_neither_applied_nor_lost(name):
    """A viewer that heeds it turns the output as it turns the source; others turn neither."""
    packet = XMP % b'tiff:Orientation="6"'
    options = {"tiffinfo": {700: packet}} if name == "TIFF" else {"xmp": packet}
    output, _ = through(encoded(picture("RGB"), name, **options))
    assert (xmp_in(output), decode(output, LIMIT).rgb.shape) == (packet, photo().shape)


def test_xmp_that_a_jpeg_cannot_hold_is_said_to_be_dropped():
    large = CREATOR + b" " * 70_000
    data = png_with((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + large))
    assert xmp_in(through(data)[0]) == large
    assert through(data, JPEG)[1] == ("XMP",)


def test_a_gain_map_is_reported_as_dropped_and_no_metadata_mentions_it():
    small = encoded(picture("L", height=8, width=8), "JPEG")
    output, lost = through(encoded(picture("RGB"), "JPEG", xmp=GAIN_MAP) + small)
    assert lost == ("gain map",)
    assert b"hdrgm" not in output
    both = GAIN_MAP.replace(b"<rdf:Desc", b'<rdf:Description xmlns:dc="d" dc:creator="Ada"/><rdf:Desc')
    assert through(encoded(picture("RGB"), "JPEG", xmp=both) + small)[1] == ("gain map", "XMP")


def test_a_gain_map_by_the_iso_standard_is_found():
    name = b"urn:iso:std:iso:ts:21496:-1\0"
    segment = b"\xff\xe2" + struct.pack(">H", 2 + len(name)) + name
    data = encoded(picture("RGB"), "JPEG", extra=segment)
    assert through(data + data)[1] == ("gain map",)


def test_a_gain_map_of_an_avif_is_found():
    data = encoded(picture("RGB"), "AVIF")
    assert kept_with_avif(data) == ()
    assert kept_with_avif(data.replace(b"MA1B", b"tmap", 1)) == ("gain map",)


def test_further_pictures_and_videos_are_said_to_be_dropped():
    data = encoded(picture("RGB"), "MPO", save_all=True, append_images=[picture("RGB", seed=9)])
    assert through(data)[1] == ("further pictures",)
    still = encoded(picture("RGB"), "JPEG")
    for brand in (b"mp42", b"avc1", b"3gp5", b"qt  "):
        assert through(still + b"\0\0\0\x18ftyp" + brand)[1] == ("video",)
    assert through(still + b"RIFF\x10\0\0\0WAVEfmt ")[1] == ("sound",)


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body


def test_contents_of_other_segments_are_said_to_be_dropped():
    thermal, signed = segment(0xE1, b"FLIR\0\1\0\0"), segment(0xEB, b"JP\0\1\0\0\0\1\0\0\0\x20jumb")
    data = encoded(picture("RGB"), "JPEG", extra=thermal + thermal + signed)
    assert through(data)[1] == ("thermal data", "content credentials")
    assert through(png_with((b"caBX", b"\0\0\0\x20jumb")))[1] == ("content credentials",)


def test_iptc_and_comment_stay_in_a_jpeg():
    iptc = b"\x1c\x02\x78\0\4Rain!"
    resource = b"8BIM\4\4\0\0" + struct.pack(">I", len(iptc)) + iptc
    body = b"Photoshop 3.0\0" + resource
    extra = b"\xff\xed" + struct.pack(">H", 2 + len(body)) + body
    data = encoded(picture("RGB"), "JPEG", extra=extra, comment=b"in the rain")
    output, lost = through(data)
    kept = decode(output, LIMIT).form.metadata
    assert (kept.iptc, kept.comment, lost) == (iptc, b"in the rain", ())
    assert through(data, PNG)[1] == ("IPTC", "comment")
    two = data[:2] + segment(0xFE, b"taken") + data[2:]
    assert decode(through(two)[0], LIMIT).form.metadata.comment == b"taken\nin the rain"


def test_a_profile_of_inks_is_said_to_be_dropped():
    profile = bytearray(srgb_profile())
    profile[16:20] = b"CMYK"
    assert through(encoded(picture("CMYK"), "JPEG", icc_profile=bytes(profile)))[1] == ("ICC profile",)


def test_a_profile_in_parts_is_kept_and_one_that_lacks_a_part_is_said_to_be_dropped():
    data, profile = encoded(picture("RGB"), "JPEG"), srgb_profile()
    bodies = [
        b"ICC_PROFILE\0" + bytes([number, 3]) + profile[at : at + 200]
        for number, at in enumerate((0, 200, 400), 1)
    ]
    parts = [b"\xff\xe2" + struct.pack(">H", 2 + len(body)) + body for body in bodies]
    whole = data[:20] + parts[2] + parts[0] + parts[1] + data[20:]
    assert decode(whole, LIMIT).form.metadata.icc_profile == profile
    for lacking in (parts[:2], [*parts, parts[0]]):
        assert through(data[:20] + b"".join(lacking) + data[20:])[1] == ("ICC profile",)


def test_exif_that_cannot_be_read_is_said_to_be_dropped():
    assert through(encoded(picture("RGB"), "JPEG", exif=b"Exif\0\0nonsense"))[1] == ("EXIF",)
    only_orientation = Image.Exif()
    only_orientation[0x0112] = 6
    assert through(encoded(picture("RGB"), "JPEG", exif=only_orientation))[1] == ()


def pages(*kinds: int, bigtiff: bool = False) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, bigtiff=bigtiff) as writer:
        for number, kind in enumerate(kinds):
            shrunk = photo(24 >> number, 16 >> number)
            is_mask = kind & 4
            pixels, photometric = (shrunk[..., 0] > 99, "mask") if is_mask else (shrunk, "rgb")
            writer.write(pixels, photometric=photometric, subfiletype=kind, metadata=None)
    return buffer.getvalue()


@pytest.mark.parametrize("bigtiff", [False, True])
def test_reduced_copies_and_masks_do_not_make_a_tiff_several_pages(bigtiff):
    assert through(pages(0, 1, 1, bigtiff=bigtiff))[1] == ("reduced copies",)
    assert through(pages(0, 4, 1, bigtiff=bigtiff))[1] == ("mask", "reduced copies")
    np.testing.assert_array_equal(decode(pages(0, 1), LIMIT).rgb, photo())


def test_reduced_copies_may_be_named_by_the_tag_of_old():
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(photo(), photometric="rgb", metadata=None)
        writer.write(photo(12, 8), photometric="rgb", metadata=None, extratags=[(255, "H", 1, 2, True)])
    assert through(buffer.getvalue())[1] == ("reduced copies",)


def test_a_georeference_stays_unless_the_picture_is_turned():
    places = {33550: (0.5, 0.5, 0.0), 33922: (0.0, 0.0, 0.0, 5e5, 6e6, 0.0), 34737: "UTM 33N|"}
    output, lost = through(encoded(picture("RGB"), "TIFF", tiffinfo=places))
    tags = reopened(output).tag_v2
    assert {tag: tags[tag] for tag in places} == places
    assert lost == ()
    assert through(encoded(picture("RGB"), "TIFF", tiffinfo={**places, 274: 9}))[1] == ()
    assert through(encoded(picture("RGB"), "TIFF", tiffinfo={**places, 274: 3}))[1] == ("georeference",)
    assert through(encoded(picture("RGB"), "TIFF", tiffinfo=places), PNG)[1] == ("georeference",)


def test_colour_codes_of_an_avif_go_to_the_png_it_becomes():
    data = bytearray(encoded(picture("RGB"), "AVIF"))
    at = data.index(b"colrnclx") + 8
    data[at : at + 4] = struct.pack(">HH", 9, 16)
    output, lost = through(bytes(data), PNG)
    assert (chunks_of(output)[b"cICP"], lost) == (bytes([9, 16, 0, 1]), ())
    assert through(bytes(data), JPEG)[1] == ("cICP",)


def test_exif_in_hexadecimal_text_is_not_carried_a_second_time():
    text = PngImagePlugin.PngInfo()
    block = exif_block(6)
    text.add_text("Raw profile type exif", f"\nexif\n{len(block):8}\n{block.hex()}\n", zip=True)
    text.add_text("Raw profile type iptc", "\niptc\n 2\n1c02\n")
    output, lost = through(encoded(picture("RGB"), "PNG", pnginfo=text))
    assert b"Raw profile" not in output
    assert lost == ("raw profile iptc",)
