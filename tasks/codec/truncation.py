"""Detection of truncated files (`is_cut_short`), so that the reason distinguishes them from damaged ones.

Pillow's errors do not distinguish them: a truncated file may be reported as a "broken data stream"
(https://github.com/python-pillow/Pillow/issues/1510).
"""

from __future__ import annotations

from tasks.codec.formats.tiff_file import points_beyond_end

_ENDINGS = {"JPEG": b"\xff\xd9", "PNG": b"IEND", "GIF": b";"}
_TAIL = 64


def is_cut_short(data: bytes, name: str, fault: Exception) -> bool:
    """Return whether an unreadable file is truncated.

    Parameters
    ----------
    data, name
        The file and its format.
    fault
        The exception of its reader.
    """
    if name in _ENDINGS:
        return _ENDINGS[name] not in data[-_TAIL:]
    if name == "TIFF":
        return points_beyond_end(data)
    if name == "JPEG2000":
        return lacks_codestream_end(data)
    if name == "WEBP":
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    words = str(fault).lower()
    return isinstance(fault, EOFError) or "truncated" in words or "end of file" in words or "eof" in words


def lacks_codestream_end(data: bytes) -> bool:
    """Return whether a JPEG 2000 is truncated: its reader would return the missing part as black."""
    # Neither marker can occur within coded pixels.
    start_of_data, end_of_codestream = b"\xff\x93", b"\xff\xd9"
    return data.rfind(end_of_codestream) <= data.find(start_of_data)
