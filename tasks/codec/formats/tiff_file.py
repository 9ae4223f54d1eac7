"""Checks of a TIFF before its pixels are read (`open_tiff`): further pages, and layouts that Pillow misreads.

Pillow decodes the layouts in a table, some of them wrongly. The grid in `tests/tasks/codec/test_tiff_layouts.py`
compares all of them with tifffile.
"""

from __future__ import annotations

import ctypes
import functools
import io
import struct
from collections.abc import Iterator
from pathlib import Path

import PIL
from PIL import ImagePalette, TiffImagePlugin
from PIL.TiffImagePlugin import COMPRESSION_INFO, ImageFileDirectory_v2, TiffImageFile

from tasks.codec.conversion import RAW
from tasks.codec.formats.jpeg_file import END_OF_IMAGE, START_OF_IMAGE, is_incomplete, load_jpeg, parse_jpeg
from tasks.codec.pictures import ImageRejected, not_supported, unsupported_photograph

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _STRIP_SIZES, _TILE_OFFSETS, _TILE_SIZES = 273, 279, 324, 325
_PLANAR, _COLOUR_MAP, _SAMPLE_FORMAT, _DNG_VERSION = 284, 320, 339, 50706
_LAYERS = 37724
_INK_SET, _NUMBER_OF_INKS, _DEPTH = 332, 334, 32997
_CMYK_INKS, _OTHER_INKS = 4, 2
_KIND_OF_PAGE, _OLD_KIND_OF_PAGE = 254, 255
_REDUCED, _MASK, _OLD_REDUCED = 1, 4, 2
_SEPARATE_PLANES = 2
_UNSIGNED, _UNDEFINED = 1, 4
_JPEG, _JPEG_TABLES = 7, 347
_WEBP = 50001  # known to Pillow, but not to the libtiff bundled with it
_MOST_PAGES = 10_000
_LOWEST_TAGS = 8  # entries are sorted by tag, so the tags for the kind of a page come first
_SHORT = 3
_SIGNED_OR_FLOAT = "TIFF of signed or floating-point samples"
_PHOTOMETRICS = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "LAB"}


def open_tiff(data: bytes) -> TiffImageFile:
    """Open a TIFF whose first page is a photograph in a layout that Pillow reads correctly.

    Raises
    ------
    ImageRejected
        If it is not; for a valid file, the reason names the unsupported feature.
    """
    if data.startswith(b"MM\0+"):
        raise not_supported("BigTIFF in big-endian order")
    TiffImagePlugin.READ_LIBTIFF = True  # Pillow's own reader mixes up planes of 16 bits
    _silence_libtiff()
    try:
        image = TiffImageFile(io.BytesIO(data))
    except (SyntaxError, OSError) as fault:
        layout = _layout(data)
        if layout is None:
            raise
        raise not_supported(layout) from fault
    _require_photograph(image.tag_v2)
    _require_readable(image)
    _widen_palette(image)
    return image


@functools.cache
def _silence_libtiff() -> None:
    """Keep libtiff from writing each fault of a file to the terminal; rows have the reason.

    Pillow offers no setting for this. It can be done only for the library that its wheels bundle.
    """
    for library in sorted((Path(PIL.__file__).parent.parent / "pillow.libs").glob("libtiff*")):
        set_handler = ctypes.CDLL(str(library)).TIFFSetErrorHandler
        set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
        set_handler(None)


def describe_further_pages(image: TiffImageFile, data: bytes) -> tuple[str, ...]:
    """Return, in words, the kinds of pages after the first one, reduced copies and masks; and Photoshop's layers.

    Raises
    ------
    ImageRejected
        If one of them is another photograph.
    """
    kinds = [_kind(*tags) for tags in _further_pages(image.tag_v2.next, data)]
    if None in kinds:
        raise not_supported(f"several pages ({1 + len(kinds)})")
    layers = ("layers",) if _LAYERS in image.tag_v2 else ()
    return (*dict.fromkeys(kind for kind in kinds if kind is not None), *layers)


def is_truncated_tiff(image: TiffImageFile, data: bytes) -> bool:
    """Return whether a JPEG strip or tile has a truncated scan, which libtiff fills with grey."""
    page = image.tag_v2
    if _number(page, _COMPRESSION) != _JPEG:
        return False
    tables = page.get(_JPEG_TABLES)
    head = tables.removesuffix(END_OF_IMAGE) if isinstance(tables, bytes) else START_OF_IMAGE
    strips = (head + data[start + len(START_OF_IMAGE) : start + size] for start, size in _places(page))
    return any(map(_is_incomplete_jpeg, strips))


def _is_incomplete_jpeg(strip: bytes) -> bool:
    jpeg = parse_jpeg(strip)
    try:
        return is_incomplete(jpeg, strip, load_jpeg(strip))
    except (OSError, SyntaxError):
        return False  # of a kind that only libtiff reads


def points_beyond_end(data: bytes) -> bool:
    """Return whether a TIFF claims pixels beyond the end of the file."""
    page = _first_page(data)
    if page is None:
        return True
    return any(start + size > len(data) for start, size in _places(page))


def _places(page: ImageFileDirectory_v2) -> Iterator[tuple[int, int]]:
    """Yield offset and length of strips or tiles."""
    starts, sizes = _numbers(page, _STRIP_OFFSETS, _TILE_OFFSETS), _numbers(page, _STRIP_SIZES, _TILE_SIZES)
    return zip(starts, sizes, strict=False)


def _require_photograph(page: ImageFileDirectory_v2) -> None:
    if _DNG_VERSION in page or _number(page, _KIND_OF_PAGE) & _REDUCED:
        # In these files, a TIFF reader finds only the thumbnail.
        raise unsupported_photograph(RAW)


def _require_readable(image: TiffImageFile) -> None:
    page = image.tag_v2
    if _is_signed_or_float(page):
        raise not_supported(_SIGNED_OR_FLOAT)
    if image.mode == "CMYK" and _has_other_inks(page):
        raise not_supported("TIFF of inks other than CMYK")
    if _number(page, _DEPTH) > 1:
        raise not_supported("TIFF of a volume")
    if image.mode in ("LA", "La", "PA") and _number(page, _PLANAR) == _SEPARATE_PLANES:
        raise not_supported("TIFF of grey and alpha in separate planes")
    if _number(page, _COMPRESSION) == _WEBP:
        raise not_supported(f"TIFF of compression {_WEBP}")


def _is_signed_or_float(page: ImageFileDirectory_v2) -> bool:
    return any(kind not in (_UNSIGNED, _UNDEFINED) for kind in _numbers(page, _SAMPLE_FORMAT))


def _has_other_inks(page: ImageFileDirectory_v2) -> bool:
    inks = _number(page, _NUMBER_OF_INKS) or _CMYK_INKS
    return _number(page, _INK_SET) == _OTHER_INKS or inks != _CMYK_INKS


def _widen_palette(image: TiffImageFile) -> None:
    """Correct a palette of eight bits, as old programs wrote it, which Pillow reads as one of sixteen."""
    levels = _numbers(image.tag_v2, _COLOUR_MAP)
    if image.mode in ("P", "PA") and levels and max(levels) <= 255:
        image.palette = ImagePalette.raw("RGB;L", bytes(levels))


def _kind(kind: int, old_kind: int) -> str | None:
    if kind & _MASK:
        return "mask"
    return "reduced copies" if kind & _REDUCED or old_kind == _OLD_REDUCED else None


def _further_pages(place: int, data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the kind of each further page, by the new tag and by the old one."""
    order = "<" if data.startswith(b"II") else ">"
    seen: set[int] = set()
    while place and place not in seen and len(seen) < _MOST_PAGES:
        seen.add(place)
        try:
            kinds, place = _kinds_and_next(data, place, order, is_big=data[2:4] == b"+\0")
        except struct.error as fault:
            raise ImageRejected("damaged TIFF") from fault
        yield kinds


def _kinds_and_next(data: bytes, place: int, order: str, *, is_big: bool) -> tuple[tuple[int, int], int]:
    counter, entry_bytes, pointer = ("Q", 20, "Q") if is_big else ("H", 12, "I")
    (count,) = struct.unpack_from(order + counter, data, place)
    first = place + struct.calcsize("=" + counter)
    found = {_KIND_OF_PAGE: 0, _OLD_KIND_OF_PAGE: 0}
    for entry in range(first, first + entry_bytes * min(count, _LOWEST_TAGS), entry_bytes):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if tag in found:
            where = entry + entry_bytes - struct.calcsize("=" + pointer)
            (found[tag],) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), data, where)
    (following,) = struct.unpack_from(order + pointer, data, first + entry_bytes * count)
    return (found[_KIND_OF_PAGE], found[_OLD_KIND_OF_PAGE]), following


def _first_page(data: bytes) -> ImageFileDirectory_v2 | None:
    try:
        page = ImageFileDirectory_v2(data[: 16 if data[2:3] == b"+" else 8])
        source = io.BytesIO(data)
        source.seek(page.next)
        page.load(source)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - Pillow raises whatever a flipped bit provokes
        return None
    return page


def _layout(data: bytes) -> str | None:
    """Describe a page that Pillow cannot read; None if the page is incomplete."""
    page = _first_page(data)
    if page is None or not (_number(page, _WIDTH) and _number(page, _LENGTH)):
        return None
    if not _numbers(page, _STRIP_OFFSETS, _TILE_OFFSETS):
        return None
    compression = _number(page, _COMPRESSION)
    if compression not in (0, *COMPRESSION_INFO):
        return f"TIFF of compression {compression}"
    if _is_signed_or_float(page):
        return _SIGNED_OR_FLOAT
    bits = "+".join(str(bit) for bit in _numbers(page, _BITS)[:8])
    photometric = _number(page, _PHOTOMETRIC)
    return f"TIFF of {bits or 1} bits, {_PHOTOMETRICS.get(photometric, f'photometric {photometric}')}"


def _numbers(page: ImageFileDirectory_v2, *tags: int) -> tuple[int, ...]:
    """Return the integers of the first of these tags that the page has; empty if they cannot be read."""
    try:
        value = next((page[tag] for tag in tags if tag in page), ())
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - as above
        return ()
    values = value if isinstance(value, tuple) else (value,)
    return tuple(number for number in values if isinstance(number, int))


def _number(page: ImageFileDirectory_v2, tag: int) -> int:
    return next(iter(_numbers(page, tag)), 0)
