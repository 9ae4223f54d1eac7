"""Reading the images of a shard: fetched ahead in threads, decoded one after the other, faults sorted out.

A fault of an image rejects it, once it is the same when fetched again; a fault of the world leaves it pending.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from infra.errors import STORAGE_ERRORS, ItemRejected, ObjectStillChanging, one_line
from infra.failpoints import failpoint
from infra.records import ImageRef
from infra.storage.location import AccessDenied, KeyRefused, ObjectNotFound
from tasks.codec import ImageRejected, Picture
from tasks.media.medium import Medium
from tasks.waves.memory import reserved
from tasks.waves.stage import Unfinished

logger = logging.getLogger(__name__)

SHARD_SECONDS = 4.0
"""A worker begins no more images of a shard after this long: rows of what it has put are then recorded soon."""
READ_AHEAD = 3
"""Images that are fetched before they are needed."""
FAULTS_IN_A_ROW = 3
"""After so many faults of the world, one after the other, the rest of the shard is left pending untried."""
OF_ONE_OBJECT = (ObjectNotFound, AccessDenied, ObjectStillChanging)
"""What lasts and says nothing of the next image: counted, three such images would block their shard in each run."""
UNREADABLE = (*STORAGE_ERRORS, ItemRejected, KeyRefused)
"""Why an image that is read once more, to be shown, may not be there to show."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image whose pixels are there, and the bytes they came from."""

    ref: ImageRef
    data: bytes
    picture: Picture


@dataclass(slots=True)
class FailureStreak:
    """Faults of the world, one after the other, in one direction: what can be read may fail to be written."""

    length: int = 0

    @property
    def is_long(self) -> bool:
        """Tell whether later images would only wait for the same time-outs."""
        return self.length >= FAULTS_IN_A_ROW

    def count(self, error: Exception) -> None:
        """Count a fault, unless it is one of that object alone."""
        if not isinstance(error, OF_ONE_OBJECT):
            self.length += 1

    def end(self) -> None:
        """Begin anew: the world is all right."""
        self.length = 0


class Reading:
    """One pass over the images of a shard, and what it has got to so far.

    Parameters
    ----------
    medium : Medium
        Where the images are.
    seconds : float
        Once this much time has passed, no more images are begun; by default all of them are.
    """

    def __init__(self, medium: Medium, seconds: float = math.inf) -> None:
        self.medium = medium
        self.left = 0
        """Images at the end of the shard that were not begun."""
        self._seconds = seconds
        self.rejected: list[tuple[ImageRef, str]] = []
        self.unfinished: list[Unfinished] = []
        self.image_seconds = 0.0
        self.fetches = FailureStreak()
        self.puts = FailureStreak()

    def decoded(self, refs: tuple[ImageRef, ...]) -> Iterator[Decoded]:
        """Yield the images that could be fetched and decoded; the others are rejected or stay unfinished."""
        with ThreadPoolExecutor(READ_AHEAD) as readers:
            for ref, fetching in self._fetch_ahead(readers, refs):
                if self._is_world_at_fault:
                    fetching.cancel()
                    self.unfinished.append(Unfinished(ref.key, "left untried after faults in a row"))
                    continue
                try:
                    data = fetching.result()
                except (ItemRejected, KeyRefused) as refused:
                    self.rejected.append((ref, str(refused)))
                except STORAGE_ERRORS as error:
                    self.fault(ref, error, self.fetches)
                else:
                    self.fetches.end()
                    # Held until the next image is asked for: until then this one's pixels are worked on.
                    with reserved(self.medium.pixels(data)):
                        picture = self._decode(ref, data)
                        if picture is not None:
                            yield Decoded(ref, data, picture)

    def reject(self, ref: ImageRef, data: bytes, rejected: ImageRejected) -> None:
        """Reject an image if it is the same when fetched again; storage may have handed out damaged bytes."""
        try:
            is_same = self.medium.fetch(ref) == data
        except STORAGE_ERRORS as error:
            self.fault(ref, error, self.fetches)
            return
        if is_same:
            self.rejected.append((ref, rejected.reason))
        else:
            self.unfinished.append(Unfinished(ref.key, "two fetches gave different bytes"))

    def fault(self, ref: ImageRef, error: Exception, row: FailureStreak) -> None:
        """Leave an image pending that storage failed at, and count the fault among the fetches or the puts."""
        self.unfinished.append(Unfinished(ref.key, str(error)))
        row.count(error)

    def unforeseen(self, ref: ImageRef, error: Exception) -> None:
        """Leave an image pending that met a lack of memory or an error of ours: the others shall not suffer."""
        logger.warning("%s stays pending", ref.key, exc_info=error)
        self.unfinished.append(Unfinished(ref.key, f"{type(error).__name__}: {one_line(error)}"))

    @contextmanager
    def clocked(self) -> Iterator[None]:
        """Count the CPU seconds of this block."""
        started = time.thread_time()
        try:
            yield
        finally:
            self.image_seconds += time.thread_time() - started

    @property
    def _is_world_at_fault(self) -> bool:
        return self.fetches.is_long or self.puts.is_long

    def _fetch_ahead(
        self, readers: ThreadPoolExecutor, refs: tuple[ImageRef, ...]
    ) -> Iterator[tuple[ImageRef, Future[bytes]]]:
        """Yield each image with its bytes on their way, a few images early, until the time is up."""
        until = time.monotonic() + self._seconds
        ahead: deque[tuple[ImageRef, Future[bytes]]] = deque()
        for number, ref in enumerate(refs):
            if number and time.monotonic() > until and not self._is_world_at_fault:
                self.left = len(refs) - number
                break
            ahead.append((ref, readers.submit(self.medium.fetch, ref)))
            if len(ahead) > READ_AHEAD:
                yield ahead.popleft()
        yield from ahead

    def _decode(self, ref: ImageRef, data: bytes) -> Picture | None:
        failpoint("decode", ref.key)
        with self.clocked():
            try:
                return self.medium.decode(data)
            except ImageRejected as rejected:
                self.reject(ref, data, rejected)
            except Exception as error:  # noqa: BLE001 - see unforeseen
                self.unforeseen(ref, error)
        return None
