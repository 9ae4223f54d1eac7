"""Reader of a shard's images (`Reading`): prefetches in threads, decodes in order, and classifies failures.

A fault of an image rejects it if it recurs after a second fetch; a fault of storage or workers leaves it pending.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from infra.errors import (
    STORAGE_ERRORS,
    AccessDenied,
    BucketNotFound,
    CredentialsRefused,
    ItemRejected,
    KeyRefused,
    ObjectNotFound,
    ObjectStillChanging,
    ObjectUnreadable,
)
from infra.failpoints import failpoint
from infra.records import ImageRef
from tasks.codec import ImageRejected, Picture
from tasks.media.medium import Medium
from tasks.workers.memory import needs_lock, reserved
from tasks.workers.timing import Phase, ShardClock
from tasks.workers.unfinished import Unfinished, unforeseen

SHARD_SECONDS = 4.0
"""Seconds after which a worker starts no more images of a shard, so that finished ones are recorded soon."""
FAULTS_IN_A_ROW = 3
"""After this many consecutive storage failures, no more of the shard is begun unless what was begun succeeds."""
OF_ONE_OBJECT = (ObjectNotFound, AccessDenied, ObjectStillChanging, ObjectUnreadable)
"""Permanent failures that concern one object only, see `is_of_one_object`. If they counted, a few such images would
block all images after them in every run."""
UNREADABLE = (*STORAGE_ERRORS, ItemRejected, KeyRefused)
"""Errors for which an image is left out when it is read again for a page."""


@dataclass(frozen=True, slots=True)
class ReadAhead:
    """How much is read ahead."""

    images: int = 3
    """Number of images that are prefetched."""
    threads: int = 3
    decodes: bool = False
    """Whether the threads also decode images, which pays if computing leaves cores idle, as on a GPU."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded image and the bytes it was decoded from."""

    ref: ImageRef
    data: bytes
    picture: Picture


@dataclass(slots=True)
class FailureStreak:
    """Consecutive storage failures in one direction: reading may work while writing fails."""

    length: int = 0

    @property
    def is_long(self) -> bool:
        """Whether the streak is so long that later images would probably wait for the same time-outs."""
        return self.length >= FAULTS_IN_A_ROW

    def count(self, error: Exception) -> None:
        """Count a failure, unless it concerns that object only."""
        if not is_of_one_object(error):
            self.length += 1

    def end(self) -> None:
        """Reset the count after a success."""
        self.length = 0


def is_of_one_object(error: Exception) -> bool:
    """Return whether a failure of storage says nothing about other objects."""
    return isinstance(error, OF_ONE_OBJECT) and not isinstance(error, (CredentialsRefused, BucketNotFound))


_Fetched = tuple[bytes, Picture | None]
"""The bytes of an image, and its pixels if they were decoded before their turn."""


class Reading:
    """One pass over the images of a shard, and its results so far.

    Parameters
    ----------
    medium : Medium
        Reads the images.
    seconds : float
        No image is started after this many seconds; by default all images are.
    ahead : ReadAhead, optional
        How much is read ahead.
    clock : ShardClock, optional
        Measures the reading; by default a new one.
    """

    def __init__(
        self,
        medium: Medium,
        seconds: float = math.inf,
        ahead: ReadAhead | None = None,
        clock: ShardClock | None = None,
    ) -> None:
        self.medium = medium
        self.left = 0
        """Images at the end of the shard that were not started."""
        self._seconds = seconds
        self._ahead = ahead or ReadAhead()
        self.rejected: list[tuple[ImageRef, str]] = []
        self.unfinished: list[Unfinished] = []
        self.clock = clock or ShardClock()
        self.fetches = FailureStreak()
        self.puts = FailureStreak()

    def decoded(self, refs: tuple[ImageRef, ...]) -> Iterator[Decoded]:
        """Yield the images that can be fetched and decoded; the others are rejected or left pending."""
        with ThreadPoolExecutor(self._ahead.threads) as readers:
            for ref, fetching in self._fetch_ahead(readers, refs):
                if self._is_given_up(fetching):
                    self._leave_untried(ref)
                    continue
                try:
                    with self.clock.phase(Phase.AWAIT_FETCH):
                        data, picture = fetching.result()
                except Exception as error:  # noqa: BLE001 - see unforeseen
                    self._fetch_failed(ref, error)
                else:
                    self.fetches.end()
                    # Held until the caller asks for the next image, because it works on these pixels until then.
                    with reserved(self.medium.pixels(data)):
                        picture = picture or self._decode(ref, data)
                        if picture is not None:
                            yield Decoded(ref, data, picture)

    def reject(self, ref: ImageRef, data: bytes, rejected: ImageRejected) -> None:
        """Reject an image if a second fetch returns the same bytes; storage may have returned damaged ones."""
        try:
            is_same = self.medium.fetch(ref) == data
        except KeyRefused as error:  # replaced by a folder since the first fetch
            self.unfinished.append(Unfinished(ref.key, str(error), of_one_object=True))
            return
        except Exception as error:  # noqa: BLE001 - see unforeseen
            self._fetch_failed(ref, error)
            return
        if is_same:
            self.rejected.append((ref, rejected.reason))
        else:
            self.unfinished.append(Unfinished(ref.key, "two fetches gave different bytes"))

    def fault(self, ref: ImageRef, error: Exception, failures: FailureStreak) -> None:
        """Leave an image pending after a storage failure, and count the failure with the fetches or the puts."""
        of_one_object = failures is self.fetches and is_of_one_object(error)
        self.unfinished.append(Unfinished(ref.key, str(error), of_one_object))
        failures.count(error)

    def unforeseen(self, ref: ImageRef, error: Exception) -> None:
        """See `tasks.workers.unfinished.unforeseen`."""
        self.unfinished.append(unforeseen(ref.key, error))

    def _fetch_failed(self, ref: ImageRef, error: Exception) -> None:
        """Reject an image that can never be fetched; leave it pending after any other failure."""
        if isinstance(error, ItemRejected):
            self.rejected.append((ref, str(error)))
        elif isinstance(error, KeyRefused):
            self.rejected.append((ref, f"not a file that can be read ({error})"))
        elif isinstance(error, STORAGE_ERRORS):
            self.fault(ref, error, self.fetches)
        else:
            self.unforeseen(ref, error)

    @property
    def _is_systemic(self) -> bool:
        return self.fetches.is_long or self.puts.is_long

    def _is_given_up(self, fetching: Future[_Fetched]) -> bool:
        """Return whether to leave an image out after repeated failures.

        A fetch that has begun is still used if only fetches failed: it may show that storage works. If puts failed,
        another image would only wait for the same time-outs.
        """
        return self._is_systemic and (fetching.cancel() or self.puts.is_long)

    def _leave_untried(self, ref: ImageRef) -> None:
        self.unfinished.append(Unfinished(ref.key, "not tried after repeated storage failures"))

    def _fetch_ahead(
        self, readers: ThreadPoolExecutor, refs: tuple[ImageRef, ...]
    ) -> Iterator[tuple[ImageRef, Future[_Fetched]]]:
        """Yield each image with the future of its bytes, prefetching a few images, until the time is up.

        After repeated failures, an image is begun only if one that was begun before succeeds.
        """
        until = time.monotonic() + self._seconds
        ahead: deque[tuple[ImageRef, Future[_Fetched]]] = deque()
        for number, ref in enumerate(refs):
            if number and time.monotonic() > until and not self._is_systemic:
                self.left = len(refs) - number
                break
            while self._is_systemic and ahead:
                yield ahead.popleft()
            if self._is_systemic:
                self._leave_untried(ref)
                continue
            ahead.append((ref, readers.submit(self._fetch, ref)))
            if len(ahead) > self._ahead.images:
                yield ahead.popleft()
        yield from ahead

    def _fetch(self, ref: ImageRef) -> _Fetched:
        with self.clock.phase(Phase.FETCH):
            data = self.medium.fetch(ref)
        return data, self._decode_ahead(data) if self._ahead.decodes else None

    def _decode_ahead(self, data: bytes) -> Picture | None:
        """Decode an image before its turn; return None for one that is large or has a fault."""
        if needs_lock(self.medium.pixels(data)):
            return None
        try:
            with self.clock.phase(Phase.DECODE_AHEAD):
                return self.medium.decode(data)
        except Exception:  # noqa: BLE001 - it is decoded again in its turn, and its fault is reported then
            return None

    def _decode(self, ref: ImageRef, data: bytes) -> Picture | None:
        failpoint("decode", ref.key)
        with self.clock.phase(Phase.DECODE):
            try:
                return self.medium.decode(data)
            except ImageRejected as rejected:
                self.reject(ref, data, rejected)
            except Exception as error:  # noqa: BLE001 - see unforeseen
                self.unforeseen(ref, error)
        return None
