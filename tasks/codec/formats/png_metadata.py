"""The metadata in a PNG's ancillary chunks (`info_of`), and which of them its output keeps (`kept_chunks`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tasks.codec.formats.png_file import Chunk, dpi_of, keyword_of, profile_of, text_of

_COLOURS = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_XMP, _RAW_PROFILE = b"XML:com.adobe.xmp", b"Raw profile type "
_SIGNED = b"caBX"
_SRGB_GAMMA, _SRGB_COLOURS = 45_455, (31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000)
_SRGB_CODES = (b"\1\x0d",)  # primaries and transfer function of cICP
_TOLERANCE = 60  # encoders round differently; the difference is invisible


def info_of(chunks: Iterable[Chunk]) -> dict[str, Any]:
    """Return the metadata that PNG shares with other formats, under the names that Pillow gives them."""
    info: dict[str, Any] = {}
    for name, body in chunks:
        if name == b"iCCP":
            info["icc_profile"] = profile_of(body) or b""
        elif name == b"eXIf":
            info["exif"] = body
        elif name == b"pHYs":
            info["dpi"] = dpi_of(body)
        elif name in _TEXTS and keyword_of(body) == _XMP:
            info["xmp"] = text_of(name, body)
        elif name in _TEXTS and keyword_of(body) == _RAW_PROFILE + b"exif":
            info["Raw profile type exif"] = (text_of(name, body) or b"").decode("latin-1")
    return info


def kept_chunks(chunks: Iterable[Chunk]) -> tuple[Chunk, ...]:
    """Return the chunks that a PNG output keeps unchanged: colour description and texts."""
    return tuple((name, body) for name, body in chunks if name in _COLOURS or _is_plain_text(name, body))


def lost_from_png(chunks: Iterable[Chunk]) -> tuple[str, ...]:
    """Describe metadata that no output keeps: ImageMagick's profiles in text, except EXIF, and signatures."""
    chunks = tuple(chunks)
    keywords = {keyword_of(body) for name, body in chunks if name in _TEXTS}
    profiles = sorted(
        keyword.removeprefix(_RAW_PROFILE) for keyword in keywords if keyword.startswith(_RAW_PROFILE)
    )
    lost = (f"raw profile {name.decode('latin-1')}" for name in profiles if name != b"exif")
    return (*lost, "content credentials") if any(name == _SIGNED for name, _ in chunks) else tuple(lost)


def lost_outside_png(chunks: Iterable[Chunk], *, has_profile: bool) -> tuple[str, ...]:
    """Describe metadata that an output in another format lacks: colours other than sRGB, and texts.

    Parameters
    ----------
    chunks
        The result of `kept_chunks`.
    has_profile
        Whether there is an ICC profile, which takes precedence over all of them except cICP.
    """
    by_name = dict(chunks)
    is_described = has_profile or b"sRGB" in by_name
    lost = []
    if b"cICP" in by_name and by_name[b"cICP"][:2] not in _SRGB_CODES:
        lost += [name.decode() for name in (b"cICP", b"mDCV", b"cLLI") if name in by_name]
    if b"gAMA" in by_name and not is_described and not _are_near(by_name[b"gAMA"], (_SRGB_GAMMA,)):
        lost.append("gAMA")
    if b"cHRM" in by_name and not is_described and not _are_near(by_name[b"cHRM"], _SRGB_COLOURS):
        lost.append("cHRM")
    return (*lost, "text") if any(name in _TEXTS for name in by_name) else tuple(lost)


def _is_plain_text(name: bytes, body: bytes) -> bool:
    keyword = keyword_of(body)
    return name in _TEXTS and keyword != _XMP and not keyword.startswith(_RAW_PROFILE)


def _are_near(body: bytes, wanted: tuple[int, ...]) -> bool:
    levels = [int.from_bytes(body[at : at + 4], "big") for at in range(0, len(body), 4)]
    return len(levels) == len(wanted) and all(
        abs(level - want) <= _TOLERANCE for level, want in zip(levels, wanted, strict=True)
    )
