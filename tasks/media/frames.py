"""Zarr arrays as source and destination (`Frames`): frames (T, H, W, 3) of a camera, one image per frame.

A source is Zarr v2 or v3; a destination is always v3. The key of a frame is its index. Its output is one chunk of
the destination array, which one worker writes whole.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import math
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from infra.errors import ObjectNotFound, one_line
from infra.records import ImageRef, StoredObject
from infra.settings import Settings
from infra.storage.location import open_location
from infra.storage.zarr_store import create_array, open_array
from tasks.codec.claims import describe_excess
from tasks.codec.pictures import ImageRejected, Picture, PictureForm
from tasks.media.frame_chunks import missing_chunks
from tasks.media.medium import ARRAY_METADATA, FramesRefused, MediumSpec, is_array, metadata_key

if TYPE_CHECKING:
    import zarr


FRAME_DIGITS = 9
_DAMAGE = (ValueError, RuntimeError, OSError, EOFError, zlib.error, lzma.LZMAError)
"""Exceptions of codecs for damaged bytes."""


class Frames:
    """Frames of one array, derained to frames of another; see `tasks.media.medium.Medium`."""

    def __init__(self, spec: MediumSpec) -> None:
        self._source_url = spec.source
        self._source = open_array(spec.source)
        self._destination_url = spec.destination
        self._destination: zarr.Array[Any] | None = None
        self._oversize = _oversize(self._source, spec.max_pixels)
        self._stored: dict[str, StoredObject] = {}

    def output_key(self, ref: ImageRef) -> str:
        """Return the key of the chunk that holds a frame."""
        return f"c/{int(ref.key)}/0/0/0"

    def fetch(self, ref: ImageRef) -> bytes:
        """Read one frame; reject it if it is too large, or if it cannot be unpacked after a second read."""
        if self._oversize is not None:
            raise ImageRejected(self._oversize)
        number = int(ref.key)
        try:
            return _pixels(self._source, number)
        except _DAMAGE:
            try:
                return _pixels(open_array(self._source_url), number)
            except _DAMAGE as error:
                raise ImageRejected(f"damaged frame ({one_line(error)})") from error

    def pixels(self, data: bytes) -> int:
        """Return the number of pixels of a frame; all frames have one size."""
        return math.prod(self._source.shape[1:3])

    def decode(self, data: bytes) -> Picture:
        """Reshape the bytes of a frame."""
        frame = np.frombuffer(data, np.uint8).reshape(self._source.shape[1:])
        return Picture(frame, None, PictureForm("ZARR", "RGB"))

    def encode(self, derained: np.ndarray, picture: Picture) -> bytes:
        """Return the raw pixels: the array compresses them."""
        return derained.tobytes()

    def dropped(self, picture: Picture) -> tuple[str, ...]:
        """Return an empty tuple: a frame holds nothing but pixels."""
        return ()

    def put(self, key: str, data: bytes) -> StoredObject:
        """Write one frame; return its compressed chunk as the stored object."""
        if self._destination is None:
            self._destination = open_array(self._destination_url, read_only=False, stored=self._stored)
        frame = np.frombuffer(data, np.uint8).reshape(self._destination.shape[1:])
        self._destination[_number(key)] = frame
        return self._stored.pop(key)

    def output(self, key: str) -> np.ndarray:
        """Read one derained frame."""
        return np.asarray(open_array(self._destination_url)[_number(key)])


def list_frames(source: str) -> Iterator[ImageRef]:
    """List the frames of an array; the etag is the frame's index and a digest of the array's metadata.

    The digest excludes the number of frames, so the earlier frames of a growing array stay done. The etag of a
    frame that lacks chunks has their number too, so the frame is derained again once they are written.

    Raises
    ------
    FramesRefused
        If the array is not (T, H, W, 3) uint8.
    """
    frames, height, width = _checked_shape(source)
    metadata = json.loads(open_location(source).fetch(str(metadata_key(source))))
    metadata["shape"] = metadata["shape"][1:]
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()[:16]
    for number, missing in enumerate(missing_chunks(source, open_array(source))[:frames].tolist()):
        lacks = f"-without-{missing}" if missing else ""
        yield ImageRef(f"{number:0{FRAME_DIGITS}d}", f"{number}-{digest}{lacks}", height * width * 3)


def refuse_oversized(source: str, settings: Settings) -> None:
    """Refuse an array whose metadata claims more than fits in memory or can be listed.

    Raises
    ------
    FramesRefused
        If a limit is exceeded; the message names the limit and its setting.
    """
    frames, _, _ = _checked_shape(source)
    if frames > settings.max_frames:
        raise FramesRefused(
            f"{source}: {frames:,} frames, over the limit of {settings.max_frames:,} (DERAIN_MAX_FRAMES)"
        )
    oversize = _oversize(open_array(source), settings.max_pixels)
    if oversize is not None:
        raise FramesRefused(f"{source}: {oversize} (DERAIN_MAX_PIXELS)")


def prepare_destination(source: str, destination: str) -> None:
    """Create the destination array, or resize it to its source.

    Raises
    ------
    FramesRefused
        If the URL holds an array of other frames, or something other than an array.
    """
    frames, height, width = _checked_shape(source)
    if not is_array(destination):
        create_array(destination, (frames, height, width, 3), (1, height, width, 3))
        return
    if _checked_shape(destination)[1:] != (height, width):
        raise FramesRefused(
            f"{destination}: its frames have another size than those of {source}; choose another destination"
        )
    array = open_array(destination, read_only=False)
    if array.chunks != (1, height, width, 3) or array.metadata.zarr_format != 3:
        raise FramesRefused(f"{destination}: was not made by derain-batch (Zarr v3, one chunk per frame)")
    if array.shape[0] < frames:
        array.resize((frames, height, width, 3))


def _checked_shape(url: str) -> tuple[int, int, int]:
    try:
        array = open_array(url)
    except (ObjectNotFound, ValueError, KeyError, TypeError, AttributeError) as error:
        kind = ARRAY_METADATA.get(str(metadata_key(url)), "Zarr")
        raise FramesRefused(
            f"{url}: {kind}: not a readable array ({one_line(error)}); name one array, with codecs that zarr knows"
        ) from error
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] != 3:
        raise FramesRefused(
            f"{url}: an array {array.shape} of {array.dtype}; frames are (T, H, W, 3) of uint8"
        )
    return int(array.shape[0]), int(array.shape[1]), int(array.shape[2])


def _oversize(array: zarr.Array[Any], max_pixels: int) -> str | None:
    """Describe the unit that is too large to hold in memory, a frame or a chunk; None if neither is."""
    pieces = {"a frame": array.shape[1:3], "a chunk": array.chunks[:3]}
    for piece, sides in pieces.items():
        pixels = math.prod(sides)
        if pixels > max_pixels:
            return f"{piece} of {describe_excess(pixels, max_pixels)}"
    return None


def _pixels(array: zarr.Array[Any], number: int) -> bytes:
    return np.asarray(array[number]).tobytes()


def _number(key: str) -> int:
    return int(key.split("/")[1])
