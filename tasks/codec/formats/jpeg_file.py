"""Parser of a JPEG file's structure (`parse_jpeg`): frame, scans, end, and whether the scans are complete.

libjpeg fills a truncated scan with grey and warns, but Pillow does not pass on the warning
(https://github.com/python-pillow/Pillow/issues/9106), so completeness is checked here.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from tasks.codec.pictures import ImageRejected, not_supported

START_OF_IMAGE, END_OF_IMAGE = b"\xff\xd8", b"\xff\xd9"
LONGEST_SIDE = 65_500
"""Limit of libjpeg in pixels; the format allows 65,535."""
_SCAN, _RESTART_INTERVAL, _END = 0xDA, 0xDD, 0xD9
_FRAMES = frozenset((*range(0xC0, 0xD0), 0xF7)) - {0xC4, 0xC8, 0xCC}
_ARITHMETIC = frozenset(range(0xC9, 0xD0))
_READ_FRAMES = frozenset((0xC0, 0xC1, 0xC2, 0xC9, 0xCA))
_PROGRESSIVE = frozenset((0xC2, 0xCA))
_FRAME_KINDS = {0xC3: "lossless JPEG", 0xF7: "JPEG-LS"}
_RESTARTS = range(0xD0, 0xD8)
_WITHOUT_BODY = frozenset((0x01, 0xD8, *_RESTARTS))
_LUMA_OF_NOTHING = range(126, 131)  # coefficients of zero, rounded; CMYK is stored inverted
_STRIP_ROWS = 512
_FILLER = b"\xaa\x55" * 512  # the first bit differs from the zeros that libjpeg supplies


@dataclass(frozen=True, slots=True)
class Component:
    """One colour plane: its name in scans, and its sampling factors."""

    name: int
    across: int
    down: int


@dataclass(frozen=True, slots=True)
class Frame:
    """The contents of the start-of-frame segment."""

    marker: int
    bits: int
    height: int
    width: int
    components: tuple[Component, ...]

    @property
    def is_progressive(self) -> bool:
        """Whether the coefficients are spread over several scans, coarse to fine."""
        return self.marker in _PROGRESSIVE


@dataclass(frozen=True, slots=True)
class Scan:
    """Entropy-coded data at `[start, end)`, and the components and coefficients that it codes."""

    start: int
    end: int
    components: tuple[int, ...]
    coefficients: range
    lowest_bit: int
    restart_interval: int
    restarts: int
    """Number of restart markers in the data."""


@dataclass(frozen=True, slots=True)
class JpegFile:
    """The relevant segments of a JPEG."""

    frame: Frame
    scans: tuple[Scan, ...]
    segments: tuple[tuple[int, bytes], ...]
    """Marker and body of the application segments before the first scan."""
    end: int | None
    """Offset of the end of the picture, or None if the end marker is missing."""


def parse_jpeg(data: bytes) -> JpegFile:
    """Read the structure of a JPEG, tolerating everything that libjpeg tolerates.

    Raises
    ------
    ImageRejected
        If no frame can be found.
    """
    frame: Frame | None = None
    scans: list[Scan] = []
    applications: list[tuple[int, bytes]] = []
    interval, end = 0, None
    markers = _Markers(data)
    for marker, body, after in markers.segments():
        if marker in _FRAMES and frame is None:
            frame = _frame(marker, body)
        elif marker == _RESTART_INTERVAL and len(body) >= 2:
            interval = int.from_bytes(body[:2], "big")
        elif marker == _SCAN:
            scans.append(_scan(body, after, interval, markers))
        elif 0xE0 <= marker <= 0xEF and not scans:
            applications.append((marker, body))
        elif marker == _END:
            end = after
    if frame is None:
        raise ImageRejected("truncated JPEG" if end is None else "damaged JPEG")
    return JpegFile(frame, tuple(scans), tuple(applications), end)


def require_supported(frame: Frame) -> None:
    """Reject a JPEG of a type that libjpeg knows but Pillow does not read.

    Raises
    ------
    ImageRejected
        If it is of such a type; the reason names the type.
    """
    if frame.marker not in _READ_FRAMES:
        raise not_supported(_FRAME_KINDS.get(frame.marker, "hierarchical JPEG"))
    if frame.bits != 8:
        raise not_supported(f"{frame.bits}-bit JPEG")
    if len(frame.components) not in (1, 3, 4):
        raise not_supported(f"JPEG of {len(frame.components)} components")
    if max(frame.height, frame.width) > LONGEST_SIDE:
        raise not_supported(f"JPEG of more than {LONGEST_SIDE:,} pixels a side")
    if frame.height == 0:
        raise not_supported("JPEG that says its height after the picture (DNL)")


def is_incomplete(jpeg: JpegFile, data: bytes, image: Image.Image) -> bool:
    """Return whether part of the picture is missing.

    Parameters
    ----------
    jpeg, data
        The file.
    image
        Its decoded picture. The file is decoded again with extra bits at the end of each scan, which a complete
        scan ignores, if the picture ends in the grey of missing data, the file has no end marker, or there are
        several scans, the last of which add hardly visible detail.
    """
    if _lacks_coefficients(jpeg) or any(_lacks_restarts(jpeg.frame, scan) for scan in jpeg.scans):
        return True
    if jpeg.frame.marker in _ARITHMETIC:  # may omit zeros at the end of a scan
        return jpeg.end is None
    if jpeg.end is not None and len(jpeg.scans) == 1 and not _ends_grey(image):
        return False
    return not _are_equal(image, load_jpeg(_with_filler(jpeg, data)))


def _lacks_coefficients(jpeg: JpegFile) -> bool:
    wanted = range(64) if jpeg.frame.is_progressive else range(1)
    coded = {
        (component, coefficient)
        for scan in jpeg.scans
        if scan.lowest_bit == 0
        for component in scan.components
        for coefficient in scan.coefficients
    }
    return any((component.name, k) not in coded for component in jpeg.frame.components for k in wanted)


def _lacks_restarts(frame: Frame, scan: Scan) -> bool:
    if not scan.restart_interval:
        return False
    return scan.restarts < math.ceil(_units(frame, scan) / scan.restart_interval) - 1


def _units(frame: Frame, scan: Scan) -> int:
    """Return the number of units (MCUs) that a scan codes: blocks of one component, or groups of several."""
    across = max(component.across for component in frame.components)
    down = max(component.down for component in frame.components)
    if len(scan.components) > 1:
        return math.ceil(frame.width / (8 * across)) * math.ceil(frame.height / (8 * down))
    part = next(component for component in frame.components if component.name in scan.components)
    columns = math.ceil(frame.width * part.across / across)
    rows = math.ceil(frame.height * part.down / down)
    return math.ceil(columns / 8) * math.ceil(rows / 8)


def _ends_grey(image: Image.Image) -> bool:
    # Only luma is compared: subsampled chroma is blended with that of neighbours.
    last = image.crop((image.width - 1, image.height - 1, image.width, image.height))
    brightness = last.getchannel(0) if last.mode == "CMYK" else last.convert("L")
    return brightness.getpixel((0, 0)) in _LUMA_OF_NOTHING


def _are_equal(one: Image.Image, other: Image.Image) -> bool:
    strips = (
        (0, top, one.width, min(top + _STRIP_ROWS, one.height)) for top in range(0, one.height, _STRIP_ROWS)
    )
    return all(one.crop(strip).tobytes() == other.crop(strip).tobytes() for strip in strips)


def _with_filler(jpeg: JpegFile, data: bytes) -> bytes:
    pieces, position = [], 0
    for scan in jpeg.scans:
        # Bytes 0xFF at the end are padding before a marker.
        pieces += [data[position : scan.end].rstrip(b"\xff"), _FILLER]
        position = scan.end
    return b"".join([*pieces, data[position : jpeg.end], END_OF_IMAGE])


def load_jpeg(data: bytes) -> Image.Image:
    """Decode a JPEG with libjpeg, as far as its scans go."""
    image = JpegImageFile(io.BytesIO(data))
    image.load()
    return image


def _frame(marker: int, body: bytes) -> Frame:
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise ImageRejected("damaged JPEG")
    components = tuple(
        Component(body[at], max(1, body[at + 1] >> 4), max(1, body[at + 1] & 15))
        for at in range(6, 6 + 3 * body[5], 3)
    )
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    return Frame(marker, body[0], height, width, components)


def _scan(body: bytes, start: int, interval: int, markers: _Markers) -> Scan:
    count = body[0] if body else 0
    if len(body) < 4 + 2 * count:
        raise ImageRejected("damaged JPEG")
    first, last, bits = body[1 + 2 * count : 4 + 2 * count]
    end, restarts = markers.entropy(start)
    components = tuple(body[1 : 1 + 2 * count : 2])
    return Scan(start, end, components, range(first, last + 1), bits & 15, interval, restarts)


class _Markers:
    """The markers of a file, found in one pass over its bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        octets = np.frombuffer(data, np.uint8)
        found = np.flatnonzero(octets[:-1] == 0xFF)
        names = octets[found + 1]
        is_marker = (names != 0) & (names != 0xFF)
        self._places: npt.NDArray[np.intp] = found[is_marker]
        self._names = names[is_marker]

    def segments(self) -> Iterator[tuple[int, bytes, int]]:
        """Yield marker, body and the position after them, up to and including the end of the image."""
        position = 2
        while (index := int(np.searchsorted(self._places, position))) < len(self._places):
            marker, position = int(self._names[index]), int(self._places[index]) + 2
            if marker in _WITHOUT_BODY:
                continue
            if marker == _END:
                yield marker, b"", position
                return
            size = int.from_bytes(self._data[position : position + 2], "big")
            if size < 2 or position + size > len(self._data):
                return
            yield marker, self._data[position + 2 : position + size], position + size
            position += size

    def entropy(self, start: int) -> tuple[int, int]:
        """Return the end of a scan's data, and the number of restart markers in it."""
        first = int(np.searchsorted(self._places, start))
        restarts = np.isin(self._names[first:], list(_RESTARTS))
        count = int(np.argmin(restarts)) if len(restarts) and not restarts.all() else len(restarts)
        ends = first + count
        end = int(self._places[ends]) if ends < len(self._places) else len(self._data)
        return end, count
