"""Output formats (`Export`, `target_format`), and whether they can hold a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tasks.codec.pictures import ImageRejected, Picture, not_supported

_WRITTEN_BACK = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
_LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}  # limits of libjpeg and libwebp


Kind = Literal["same", "png", "jpeg"]


@dataclass(frozen=True, slots=True)
class Export:
    """The format of the outputs of a run.

    Parameters
    ----------
    kind
        "same" as the source, or "png" or "jpeg" for all.
    quality
        Quality of lossy formats, 1 to 100.

    Raises
    ------
    ValueError
        If kind or quality is invalid.
    """

    kind: Kind = "same"
    quality: int = 92

    def __post_init__(self) -> None:
        if self.kind not in ("same", "png", "jpeg"):
            raise ValueError(f"unknown export {self.kind!r}: use same, png or jpeg")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality {self.quality} is not between 1 and 100")

    @property
    def label(self) -> str:
        """The export's part of an output's identity; it contains the quality wherever that changes bytes."""
        return self.kind if self.kind == "png" else f"{self.kind}-q{self.quality}"


def target_format(picture: Picture, export: Export) -> str:
    """Return the format that the output is written in: JPEG, PNG, WEBP, TIFF or BMP.

    Raises
    ------
    ImageRejected
        If the format cannot hold the picture; the reason names the remedy.
    """
    target = picture.form.format if export.kind == "same" else export.kind.upper()
    if target not in _WRITTEN_BACK:
        raise not_supported(f"{target} as the format of an output; use --export png")
    longest = _LONGEST_SIDE.get(target)
    side = max(picture.height, picture.width)
    if longest is not None and side > longest:
        raise ImageRejected(f"{side} pixels long, {target} ends at {longest}: use --export png")
    return target


def require_exportable(picture: Picture, export: Export) -> None:
    """Reject a picture that cannot be written, before a forward pass is spent on it.

    Raises
    ------
    ImageRejected
        As `encode` would.
    """
    target_format(picture, export)
