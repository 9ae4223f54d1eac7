"""`Lease`, which keeps two coordinators from writing to the same destination of a workspace.

A lease is a sequence of generations, files `<sha of destination>.<generation>.json` under `<workspace>/leases`,
each created exclusively. The process that created the highest generation holds the lease; its file says until when,
and is rewritten while the holder lives. To take over an expired, released or orphaned lease, a process creates the
next generation. No run deletes the highest file, so generations only rise; only `forget_leases` deletes it, days
later, and generations then start from 1 again. A holder that finds a higher generation than its own, or other
content in its own file, knows that it has lost the lease. A holder that slept past its expiry (a closed laptop, a
paused machine) creates the next generation itself unless another process has. All of this needs only exclusive
creation and a consistent listing, as in a local folder or S3.

A lease covers everything below its destination: a process that has created a generation looks for held leases on
folders above and below, and gives up its own if it finds one. If two processes start at the same moment, at least
one of them sees the other.

Clocks: hosts that share a workspace must agree on the time to within a quarter of the lease (15 s of 60 s).
Otherwise two coordinators may work at once; the catalog's merge still keeps rows from being duplicated.
"""

from __future__ import annotations

import logging
import threading
import time
from hashlib import sha256
from types import TracebackType
from typing import Self

from infra.errors import STORAGE_ERRORS, AccessDenied, ObjectNotFound, UserError
from infra.settings import Settings
from infra.storage.lease_file import LeaseContent, decode, encode, held_contents
from infra.storage.location import Location, existing, open_location

logger = logging.getLogger(__name__)

ATTEMPTS = 20
"""Rounds of listing and creating before giving up; each lost round was won by another process."""


class LeaseHeld(UserError):
    """Another coordinator works on this destination, or on one above or below it. The message names that run."""


class LeaseLost(UserError):
    """The process no longer holds the lease, so it must not commit anything more."""


class LeaseUnreadable(UserError):
    """A file in the folder of leases is not a lease."""


def lease_location(workspace: str) -> Location:
    """Open the folder of leases of a workspace."""
    return open_location(f"{workspace.rstrip('/')}/leases")


def lease_of(settings: Settings, destination: str, run_id: str) -> Lease:
    """Return the lease of a destination, or of another resource that only one run may use at a time."""
    return Lease(lease_location(settings.workspace), destination, run_id, settings.lease_seconds)


def check_workspace(workspace: str) -> None:
    """Check, before any work, that a workspace is writable and that leases work there.

    Raises
    ------
    ExclusiveWritesMissing
        If two runs cannot be kept apart.
    ObjectNotFound, AccessDenied, StorageError, RenamingMissing
        If the workspace is not writable.
    """
    location = open_location(workspace)
    location.check(writable=True)
    location.check_exclusive()


def held_leases(leases: Location) -> list[str]:
    """Describe the leases that are held now, one line each, for a caller that needs the workspace to itself."""
    return [f"{content.destination}: {content.line}" for content in held_contents(leases)]


class Lease:
    """The right to write to one destination for the duration of the `with` block.

    Parameters
    ----------
    leases : Location
        `lease_location(workspace)`.
    destination : str
        URL of the destination.
    run_id : str
        Id of the run that works on it.
    seconds : float
        Duration of the lease in seconds; it is renewed after each third of it.

    Raises
    ------
    LeaseHeld
        On entry, if another coordinator holds the lease.
    """

    def __init__(self, leases: Location, destination: str, run_id: str, seconds: float) -> None:
        self._leases = leases
        self._name = sha256(destination.encode()).hexdigest()
        self._seconds = seconds
        self._content = LeaseContent.acquired_now(destination, run_id, seconds)
        self._generation = 0
        # Monotonic; used along with expires_at, so that neither a stopped clock nor one set back extends the lease.
        self._good_until = 0.0
        self._is_lost = False
        self._is_abandoned = False
        self.follows_death = False
        """Whether the previous holder did not release the lease, because it was killed, perhaps by an image."""
        self._changing = threading.Lock()
        self._stop = threading.Event()
        self._renewer = threading.Thread(target=self._renew_until_stopped, name="lease", daemon=True)

    def __enter__(self) -> Self:
        for _ in range(ATTEMPTS):
            if self._try_acquire():
                self._renewer.start()
                return self
        raise LeaseHeld(f"{self._content.destination}: too many coordinators start on it at once; try again")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._renewer.join(timeout=self._seconds)
        if not self._is_lost and not self._is_abandoned:
            self._release()

    def abandon(self) -> None:
        """Let the lease expire instead of releasing it, because work that it covers cannot be waited for."""
        self._is_abandoned = True

    def check(self) -> None:
        """Check that this process holds the lease; call it before each commit.

        Raises
        ------
        LeaseLost
            If another coordinator has taken it over.
        TransientError, ObjectNotFound, AccessDenied
            If the leases cannot be reached.
        """
        with self._changing:
            self._is_lost = self._is_lost or self._highest() != self._generation or not self._is_good()
        if self._is_lost:
            raise LeaseLost(
                f"lease of {self._content.destination} lost: another run took it over;"
                " nothing more is committed"
            )

    def _is_good(self) -> bool:
        """Return whether the lease has not expired, or could be acquired again because nobody had taken it over."""
        if self._is_unexpired():
            return True
        if not self._is_written_by_us():
            return False
        try:
            return self._create(self._generation + 1)
        except LeaseHeld:  # by a run on a destination above or below
            return False

    def _is_unexpired(self) -> bool:
        return time.time() <= self._content.expires_at and time.monotonic() <= self._good_until

    def _is_written_by_us(self) -> bool:
        """Return whether our generation was neither removed by maintenance nor reused by another run."""
        try:
            written = self._read(self._generation)
        except LeaseUnreadable:
            return False
        return written is not None and written.acquired_at == self._content.acquired_at

    def _try_acquire(self) -> bool:
        generation = self._highest()
        if generation:
            current = self._read(generation)
            if current is None:  # deleted by a still higher one: look again
                return False
            if current.is_held():
                raise LeaseHeld(f"{current.destination} is being written: {current.line}")
            self.follows_death = not current.released
        return self._create(generation + 1)

    def _create(self, generation: int) -> bool:
        begun = time.monotonic()
        content = LeaseContent.acquired_now(self._content.destination, self._content.run_id, self._seconds)
        if not self._leases.create(self._key(generation), encode(content)):
            return False
        # It differs if this process slept between listing and creating, while others held the lease.
        if self._highest() != generation:
            self._leases.delete(self._key(generation))
            return False
        self._generation, self._content, self._good_until = generation, content, begun + self._seconds
        for earlier in self._generations():
            if earlier < generation:
                self._remove(earlier)
        self._refuse_overlap()
        return True

    def _refuse_overlap(self) -> None:
        """Give up the lease if a destination above or below it is being written."""
        for other in held_contents(self._leases):
            overlap = other.overlap(self._content.destination)
            if overlap is not None:
                self._release()
                raise LeaseHeld(f"{overlap}, which is being written: {other.line}")

    def _remove(self, generation: int) -> None:
        """Remove an obsolete generation, if this user may."""
        try:
            self._leases.delete(self._key(generation))
        except AccessDenied as error:
            logger.debug("an earlier lease stays: %s", error)

    def _renew_until_stopped(self) -> None:
        while not self._stop.wait(self._seconds / 3):
            try:
                with self._changing:
                    self._renew()
            except STORAGE_ERRORS as fault:  # including denied access: a token may expire for a minute
                logger.warning("lease of %s not renewed, trying again: %s", self._content.destination, fault)

    def _renew(self) -> None:
        begun = time.monotonic()
        self._is_lost = self._is_lost or not self._is_good()  # after a sleep, somebody else may hold it
        if self._is_lost:
            return
        content = self._content.renewed()
        self._write(content)
        self._content, self._good_until = content, begun + self._seconds

    def _release(self) -> None:
        try:
            if self._is_unexpired() or self._is_written_by_us():
                self._write(self._content.given_up())
        except STORAGE_ERRORS as fault:
            logger.warning("lease of %s not released; it will expire: %s", self._content.destination, fault)

    def _write(self, content: LeaseContent) -> None:
        self._leases.put(self._key(self._generation), encode(content))

    def _read(self, generation: int) -> LeaseContent | None:
        key = self._key(generation)
        try:
            return decode(self._leases.fetch(key))
        except ObjectNotFound:
            return None
        except ValueError as error:
            raise LeaseUnreadable(
                f"{self._leases.url}/{key} is not a lease ({error}): delete it if no run is active"
            ) from error

    def _highest(self) -> int:
        return max(self._generations(), default=0)

    def _generations(self) -> list[int]:
        numbers = []
        for ref in existing(self._leases):  # the first lease creates the folder
            name, _, rest = ref.key.partition(".")
            if name == self._name and rest.removesuffix(".json").isdigit():
                numbers.append(int(rest.removesuffix(".json")))
        return numbers

    def _key(self, generation: int) -> str:
        return f"{self._name}.{generation:09d}.json"
