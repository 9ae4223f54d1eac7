"""Opening the medium of a run: photographs, or frames of Zarr arrays."""

from __future__ import annotations

from tasks.media.medium import Medium, MediumSpec
from tasks.media.photographs import Photographs


def open_medium(spec: MediumSpec) -> Medium:
    """Open the source and destination of a run, in the process that uses them."""
    if spec.frames:
        from tasks.media.frames import Frames  # Zarr only where it is used

        return Frames(spec)
    return Photographs(spec)
