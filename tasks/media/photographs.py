"""Photographs as source and destination (`Photographs`)."""

from __future__ import annotations

import numpy as np

from infra.errors import KeyRefused, ObjectArchived
from infra.records import ImageRef, StoredObject
from infra.storage.links import is_shared, leads_into
from infra.storage.location import is_local, open_location
from tasks.codec import (
    ImageRejected,
    Picture,
    claimed_pixels,
    decode,
    dropped,
    encode,
    output_key,
    require_exportable,
)
from tasks.media.medium import MediumSpec

_BYTES_PER_PIXEL = 16
"""Four samples of 32 bits, the largest pixel of any format."""
_METADATA_BYTES = 1 << 28
"""Allowance in bytes for metadata, and for the video that a phone appends."""


class Photographs:
    """Image files under one URL, derained to image files under another."""

    def __init__(self, spec: MediumSpec) -> None:
        self._source = open_location(spec.source)
        self._destination = open_location(spec.destination)
        self._spec = spec

    def output_key(self, ref: ImageRef) -> str:
        """See `tasks.codec.keys.output_key`."""
        return output_key(ref.key, self._spec.export)

    def fetch(self, ref: ImageRef) -> bytes:
        """Fetch one object of the listed size; archived and far too large ones are rejected without a request."""
        if ref.archived:
            raise ObjectArchived()
        if ref.size_bytes > self._spec.max_pixels * _BYTES_PER_PIXEL + _METADATA_BYTES:
            raise ImageRejected(
                f"{ref.size_bytes / 1e6:,.0f} MB, more than a photograph of"
                f" {self._spec.max_pixels / 1e6:,.4g} megapixels takes (DERAIN_MAX_PIXELS)"
            )
        return self._source.fetch(ref.key, ref.size_bytes)

    def pixels(self, data: bytes) -> int:
        """Return the number of pixels, read from the header."""
        return claimed_pixels(data)

    def decode(self, data: bytes) -> Picture:
        """See `tasks.codec.decode`; an image whose output cannot be written is rejected before its forward pass."""
        picture = decode(data, self._spec.max_pixels)
        require_exportable(picture, self._spec.export)
        return picture

    def encode(self, derained: np.ndarray, picture: Picture) -> bytes:
        """See `tasks.codec.encode`."""
        return encode(derained, picture, self._spec.export)

    def dropped(self, picture: Picture) -> tuple[str, ...]:
        """See `tasks.codec.dropped`."""
        return dropped(picture, self._spec.export)

    def put(self, key: str, data: bytes) -> StoredObject:
        """Put one object; refuse a folder of the destination whose link leads to photographs of the source.

        Raises
        ------
        KeyRefused
            If the output would be written among the photographs of the source, and might replace one.
        """
        source, destination = self._spec.source, self._spec.destination
        if is_local(source) and is_local(destination):
            _refuse_links(source, destination, key)
        return self._destination.put(key, data)

    def output(self, key: str) -> np.ndarray:
        """Fetch and decode one output."""
        return decode(self._destination.fetch(key), self._spec.max_pixels).rgb


def _refuse_links(source: str, destination: str, key: str) -> None:
    """Refuse an output that would be written among the photographs, because a folder above it is a link."""
    if leads_into(destination, key, source):
        raise KeyRefused(f"{destination}/{key} leads into the source {source}: remove the link")
    if is_shared(source, destination, key):
        folder = key.rpartition("/")[0]
        raise KeyRefused(
            f"{destination}/{folder} and {source}/{folder} are links to one folder: remove that of the destination"
        )
