"""Identification of a file's format by its first bytes (`identify`); its key is ignored.

Libraries such as `filetype` and `puremagic` name a type, whereas a row needs the reason why a file of that type
is not derained.
"""

from __future__ import annotations

from tasks.codec.conversion import HEIC, JPEG_XL, PHOTOSHOP, RAW
from tasks.codec.pictures import ImageRejected, unsupported_photograph

# Only formats with unmistakable first bytes and a reader that starts no other program.
_PICTURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"BM", "BMP"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
)
_OTHERS = (
    (b"%PDF", "PDF, not an image"),
    (b"PK\3\4", "ZIP archive, not an image"),
    (b"\x1f\x8b", "gzip archive, not an image"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "OLE container such as Thumbs.db, not an image"),
    (b"\x1aE\xdf\xa3", "Matroska video, not an image"),
    (b"\0\0\1\xba", "video, not an image"),
    (b"Rar!\x1a\7", "RAR archive, not an image"),
    (b"7z\xbc\xaf\x27\x1c", "7z archive, not an image"),
    (b"version https://git-lfs", "pointer of Git LFS, not an image: run git lfs pull"),
    (b"\x89PNG\n", "damaged PNG: its line ends were converted"),
    (b"\x89PNG\r\r\n", "damaged PNG: its line ends were converted"),
)
_NOT_READ = (
    (b"8BPS", PHOTOSHOP),
    (b"\xff\x0a", JPEG_XL),
    (b"\0\0\0\x0cJXL \r\n\x87\n", JPEG_XL),
    (b"II\xbc", "JPEG XR"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"IIU\0", RAW),  # Panasonic
    (b"IIRO", RAW),  # Olympus
    (b"IIRS", RAW),
    (b"MMOR", RAW),
    (b"FUJIFILMCCD-RAW", RAW),
    (b"FOVb", RAW),  # Sigma
    (b"\0\0\1\0", "icon"),
    (b"\x8aMNG\r\n", "MNG"),
    (b"\x8bJNG\r\n", "JNG"),
    (b"P7\n", "PAM"),
    (b"PF\n", "PFM"),
    (b"Pf\n", "PFM"),
    (b"qoif", "QOI"),
    (b"DDS ", "DDS"),
    (b"gimp xcf ", "GIMP image"),
    (b"SIMPLE  =", "FITS"),
    (b"SDPX", "DPX"),
    (b"XPDS", "DPX"),
    (b"\x0a\x05\x01", "PCX"),
    (b"\x01\xda\x01", "SGI image"),
    (b"\x01\xda\x00", "SGI image"),
)
_CANON = b"CR\2"
_TARGA_ENDING = b"TRUEVISION-XFILE.\0"
_DICOM_AT, _DICOM = 128, b"DICM"
_ATOMS = (b"moov", b"mdat", b"wide", b"pnot")  # of QuickTime, before it had ftyp
_MARKUP = (
    (b"<!doctype html", "HTML, not an image"),
    (b"<html", "HTML, not an image"),
    (b"<svg", "SVG, not a photograph"),
    (b"<?xml", "XML, not an image"),  # the error page of a bucket
    (b"<error", "XML, not an image"),
    (b"{", "JSON, not an image"),
)
_HEIF_BRANDS = (
    b"heic",
    b"heix",
    b"heim",
    b"heis",
    b"hevc",
    b"hevx",
    b"mif1",
    b"msf1",
    b"vvic",
    b"evbi",
    b"hej2",
)


def identify(data: bytes) -> str:
    """Return the format of a picture, by Pillow's name, judging by its first bytes.

    Raises
    ------
    ImageRejected
        If the bytes are not a picture, or one of an unsupported kind.
    """
    if not data:
        raise ImageRejected("zero bytes")
    if data[8:11] == _CANON and data.startswith(b"II*\0"):  # its first pages are previews
        raise unsupported_photograph(RAW)
    for magic, name in _PICTURES:
        if data.startswith(magic):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if len(data) > 2 and data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace():
        return "PPM"
    if data[4:8] == b"ftyp":
        return _identify_ftyp(data)
    unread = _name_unread(data)
    if unread is not None:
        raise unsupported_photograph(unread)
    raise ImageRejected(_name_other(data))


def _identify_ftyp(data: bytes) -> str:
    size = min(int.from_bytes(data[:4], "big"), 256)
    brands = [data[8:12], *(data[start : start + 4] for start in range(16, size, 4))]
    if b"avif" in brands or b"avis" in brands:
        return "AVIF"
    if any(brand in _HEIF_BRANDS for brand in brands):
        raise unsupported_photograph(HEIC)
    if b"crx " in brands:  # Canon
        raise unsupported_photograph(RAW)
    raise ImageRejected("video, not an image")


def _name_unread(data: bytes) -> str | None:
    if data.endswith(_TARGA_ENDING):
        return "Targa"
    if data.startswith(_DICOM, _DICOM_AT):
        return "DICOM"
    return next((name for magic, name in _NOT_READ if data.startswith(magic)), None)


def _name_other(data: bytes) -> str:
    for magic, reason in _OTHERS:
        if data.startswith(magic):
            return reason
    if data[4:8] in _ATOMS or (data[:4] == b"RIFF" and data[8:12] == b"AVI "):
        return "video, not an image"
    head = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if b"<html" in head:
        return "HTML, not an image"
    for opening, reason in _MARKUP:
        if head.startswith(opening):
            return reason
    if not data.strip(b"\0"):
        return "nothing but NUL bytes, not an image"
    return "not an image"
