"""Opener of the medium of a run (`open_medium`): photographs, or frames of Zarr arrays."""

from __future__ import annotations

from tasks.media.medium import Medium, MediumSpec
from tasks.media.photographs import Photographs


def open_medium(spec: MediumSpec) -> Medium:
    """Open the source and destination of a run in the calling process."""
    if spec.frames:
        from tasks.media.frames import Frames  # imports Zarr only if needed

        return Frames(spec)
    return Photographs(spec)
