"""What a source and a destination of images must offer, whether they hold photographs or frames of an array."""

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
    """A Zarr array that frames cannot be read from or written to."""


class Medium(Protocol):
    """Fetch, decode, encode and put the images of one source and destination.

    Fetching and putting wait for storage and run in threads; decoding and encoding compute.
    """

    def output_key(self, ref: ImageRef) -> str:
        """Return where the output of an image goes; raises ImageRejected where it could not stay inside."""

    def fetch(self, ref: ImageRef) -> bytes:
        """Return the bytes of one image; raises ItemRejected where it can never be read as it is."""

    def pixels(self, data: bytes) -> int:
        """Return how many pixels an image will have, without decoding it; 0 where `decode` rejects it unread."""

    def decode(self, data: bytes) -> Picture:
        """Turn bytes into pixels; raises ImageRejected."""

    def encode(self, derained: np.ndarray, picture: Picture) -> bytes:
        """Turn derained pixels into the bytes of the output; raises ImageRejected."""

    def dropped(self, picture: Picture) -> tuple[str, ...]:
        """Return in plain words what the output lacks of what its source holds besides pixels."""

    def put(self, key: str, data: bytes) -> StoredObject:
        """Write one output, whole or not at all; return what a listing of the destination says of it."""

    def output(self, key: str) -> np.ndarray:
        """Return the pixels of an output, uint8 (H, W, 3)."""


@dataclass(frozen=True, slots=True)
class MediumSpec:
    """What a worker needs to open a medium: sent with each shard."""

    source: str
    destination: str
    export: Export
    max_pixels: int
    frames: bool = False
    """The source is a Zarr array of frames, the destination becomes one."""


ARRAY_METADATA = {"zarr.json": "Zarr v3", ".zarray": "Zarr v2", ".zgroup": "Zarr v2 group"}
"""Objects by which a Zarr array or group is known, and what it then is."""


def is_array(url: str) -> bool:
    """Tell whether a URL is that of a Zarr array, or of a group of arrays."""
    return metadata_key(url) is not None


def metadata_key(url: str) -> str | None:
    """Return the key of the metadata of a Zarr array or group; None for anything else."""
    location = open_location(url)
    return next((key for key in ARRAY_METADATA if location.exists(key)), None)
