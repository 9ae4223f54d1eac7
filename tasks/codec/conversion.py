"""Kinds of photographs that are not read (`HEIC`, `RAW`, ...), and the programs that convert them (`way_out`)."""

from __future__ import annotations

from collections.abc import Iterable

HEIC = "HEIC"
RAW = "raw camera file"
JPEG_XL = "JPEG XL"
PHOTOSHOP = "Photoshop document"
_PROGRAMS = {HEIC: "heif-convert", RAW: "darktable-cli", JPEG_XL: "djxl"}
_KINDS = {
    HEIC: (".heic", ".heif", ".hif"),
    RAW: (
        ".arw",
        ".cr2",
        ".cr3",
        ".crw",
        ".dng",
        ".nef",
        ".nrw",
        ".orf",
        ".pef",
        ".raf",
        ".raw",
        ".rw2",
        ".srw",
    ),
    JPEG_XL: (".jxl",),
    PHOTOSHOP: (".psd",),
}


def way_out(kind: str) -> str:
    """Return advice on converting an unsupported kind of picture to a supported format."""
    return f"convert to JPEG or PNG, for example with {_PROGRAMS.get(kind, 'magick')}"


def describe_unsupported(suffixes: Iterable[str]) -> list[str]:
    """Describe each unsupported kind of photograph among some suffixes, with advice on converting it."""
    found = set(suffixes)
    return [
        f"{', '.join(sorted(found.intersection(known)))} not read ({way_out(kind)})"
        for kind, known in _KINDS.items()
        if found.intersection(known)
    ]
