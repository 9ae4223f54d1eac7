"""How images come from a source and go to a destination: photographs as objects, or frames of Zarr arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from infra.records import ImageRef
from infra.storage import open_location
from tasks.exports import Export
from tasks.images import Picture, decode, encode, output_key, require_exportable


class Medium(Protocol):
    """Fetch, decode, encode and put the images of one source and destination.

    Fetching and putting wait for storage and run in threads; decoding and encoding compute.
    """

    def output_key(self, ref: ImageRef) -> str:
        """Return where the output of an image goes; raises ImageRejected where it could not stay inside."""

    def fetch(self, ref: ImageRef) -> bytes:
        """Return the bytes of one image."""

    def decode(self, data: bytes) -> Picture:
        """Turn bytes into pixels; raises ImageRejected."""

    def encode(self, derained: np.ndarray, picture: Picture) -> bytes:
        """Turn derained pixels into the bytes of the output; raises ImageRejected."""

    def put(self, key: str, data: bytes) -> None:
        """Write one output, whole or not at all."""

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


class Photographs:
    """Image files under one URL, derained to image files under another."""

    def __init__(self, spec: MediumSpec) -> None:
        self._source = open_location(spec.source)
        self._destination = open_location(spec.destination)
        self._spec = spec

    def output_key(self, ref: ImageRef) -> str:
        """See `tasks.keys.output_key`."""
        return output_key(ref.key, self._spec.export)

    def fetch(self, ref: ImageRef) -> bytes:
        """Fetch one object of the listed size."""
        return self._source.fetch(ref.key, ref.size_bytes)

    def decode(self, data: bytes) -> Picture:
        """See `tasks.images.decode`; what cannot be written is rejected before it costs a forward pass."""
        picture = decode(data, self._spec.max_pixels)
        require_exportable(picture, self._spec.export)
        return picture

    def encode(self, derained: np.ndarray, picture: Picture) -> bytes:
        """See `tasks.images.encode`."""
        return encode(derained, picture, self._spec.export)

    def put(self, key: str, data: bytes) -> None:
        """Put one object."""
        self._destination.put(key, data)

    def output(self, key: str) -> np.ndarray:
        """Fetch and decode one output."""
        return decode(self._destination.fetch(key), self._spec.max_pixels).rgb


def open_medium(spec: MediumSpec) -> Medium:
    """Open the source and destination of a run, in the process that uses them."""
    if spec.frames:
        from tasks.frames import Frames  # Zarr only where it is used

        return Frames(spec)
    return Photographs(spec)
