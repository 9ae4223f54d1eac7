"""The protocol of a pair of source and destination (`Medium`), implemented for photographs and for Zarr frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from infra.errors import UserError
from infra.records import ImageRef, StoredObject
from infra.storage.location import open_location
from tasks.codec import Picture
from tasks.codec.exports import Export


class FramesRefused(UserError):
    """Raised if frames cannot be read from or written to a Zarr array."""


class Medium(Protocol):
    """Fetch, decode, encode and put the images of one source and destination.

    Fetching and putting wait for storage and run in threads; decoding and encoding are CPU-bound.
    """

    def output_key(self, ref: ImageRef) -> str:
        """Return the key of an image's output; raise ImageRejected if it would lie outside the destination."""

    def fetch(self, ref: ImageRef) -> bytes:
        """Return the bytes of one image; raise ItemRejected if it can never be read in its present state."""

    def pixels(self, data: bytes) -> int:
        """Return the number of pixels of an image without decoding it; 0 if `decode` would reject it unread."""

    def decode(self, data: bytes) -> Picture:
        """Decode bytes to pixels; raise ImageRejected if that is impossible."""

    def encode(self, derained: np.ndarray, picture: Picture) -> bytes:
        """Encode derained pixels as the bytes of the output; raise ImageRejected if that is impossible."""

    def dropped(self, picture: Picture) -> tuple[str, ...]:
        """Return, in words, the contents of the source besides pixels that the output lacks."""

    def put(self, key: str, data: bytes) -> StoredObject:
        """Write one output atomically; return it as a listing of the destination shows it."""

    def output(self, key: str) -> np.ndarray:
        """Return the pixels of an output, uint8 (H, W, 3)."""


@dataclass(frozen=True, slots=True)
class MediumSpec:
    """The values that a worker needs to open a medium; sent with each shard."""

    source: str
    destination: str
    export: Export
    max_pixels: int
    frames: bool = False
    """Whether the source is a Zarr array of frames; the destination then becomes one."""


ARRAY_METADATA = {"zarr.json": "Zarr v3", ".zarray": "Zarr v2", ".zgroup": "Zarr v2 group"}
"""Metadata objects that identify a Zarr array or group, and its kind."""


def is_array(url: str) -> bool:
    """Return whether a Zarr array, or a group of arrays, is at a URL."""
    return metadata_key(url) is not None


def metadata_key(url: str) -> str | None:
    """Return the key of the metadata object of a Zarr array or group; None for anything else."""
    location = open_location(url)
    return next((key for key in ARRAY_METADATA if location.exists(key)), None)
