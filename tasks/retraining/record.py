"""The record of a retraining (`open_retraining`, `Retraining.run_step`): its steps run in order, each once.

Completed steps are recorded in `<workspace>/retrainings/open.json`, so the next run resumes an interrupted or
failed retraining at the step that it had reached. A completed retraining becomes `<id>.json` in the same folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import uuid4

from prefect import State
from prefect.exceptions import MissingResult

from infra.catalog.pool import Pool
from infra.errors import ObjectNotFound, UserError
from infra.failpoints import failpoint
from infra.settings import Settings
from infra.storage.lease import Lease, lease_of
from infra.storage.location import Location, existing, open_location
from tasks.curation.decisions import fetch_decisions
from tasks.prefect_runs import run_log
from tasks.refusals import PreflightFailed
from tasks.retraining.request import NothingNew, RetrainRequest, refuse_unfit_data

OPEN = "open.json"
REFUSED = "Refused"
"""State name of a refused promotion, which does not make the retraining fail."""
NO_RAIN = "NoRain"
"""State name of a step that found no rain to learn from, which ends the retraining: the next one may find some."""

UNSTABLE = "Unstable"
"""State name of a training that diverged or collapsed: the same training, run again, would end in the same way."""


class StepFailed(UserError):
    """Raised if a step fails; the message names the step and its own message."""


@dataclass(frozen=True, slots=True)
class Step:
    """A completed step."""

    name: str
    line: str
    """Its final message."""
    model: str
    """The registered version as `models:/name/version`; empty if there is none."""


@dataclass(frozen=True, slots=True)
class Record:
    """A retraining as it is stored."""

    retraining_id: str
    preset: str
    data: str
    decisions_sha256: str
    pool_digest: str
    """Digest of the training crops at its start."""
    begun_at: str
    seed: int = 1
    """Seed of its trainings."""
    stages: tuple[Step, ...] = ()
    """The completed steps, under the key that existing records have."""
    closed_at: str = ""
    """When it was completed; empty while it is open, and in records of earlier versions."""

    @property
    def begun(self) -> datetime:
        """When it began."""
        return datetime.fromisoformat(self.begun_at)

    @property
    def request(self) -> tuple[str, str, str]:
        """The values of the request that must be equal for a retraining to be resumed."""
        return self.preset, self.data, self.decisions_sha256


@dataclass(slots=True)
class Retraining:
    """A retraining in progress; only the holder of its lease writes its record."""

    record: Record
    folder: Location
    lease: Lease

    def run_step(self, name: str, run: Callable[[], State[Any]], is_optional: bool = False) -> Step:
        """Run a step and record it, unless it has been completed already.

        Parameters
        ----------
        name : str
            Name of the step.
        run : callable
            Runs the step and returns its final state.
        is_optional : bool
            Whether the retraining continues without a model if this training is unstable.

        Raises
        ------
        StepFailed
            If it fails; the next run starts with it. If its training is unstable, the retraining is closed.
        NothingNew
            If it found no rain; the retraining is closed.
        """
        for step in self.record.stages:
            if step.name == name:
                run_log().info(f"{name} is skipped, because an earlier run completed it: {step.line}")
                return step
        state = run()
        message = " ".join((state.message or str(state.name)).split())
        if not state.is_completed() and state.name not in (REFUSED, NO_RAIN, UNSTABLE):
            raise StepFailed(f"{name}: {message}; the next run resumes here")
        step = Step(name, message, _model(state))
        self.lease.check()
        self.record = replace(self.record, stages=(*self.record.stages, step))
        if state.name == NO_RAIN:
            self.close()
            raise NothingNew(f"nothing to learn from: {message}")
        if state.name == UNSTABLE and not is_optional:
            self.close()
            raise StepFailed(f"{name}: {message}; the retraining is closed: --anew trains from another seed")
        self.folder.put(OPEN, _written(self.record))
        failpoint(f"after-stage={name}")
        return step

    def close(self) -> str:
        """Record the completion; return one line with the result and the file that describes all steps."""
        self.lease.check()
        name = f"{self.record.retraining_id}.json"
        self.record = replace(self.record, closed_at=datetime.now(UTC).isoformat(timespec="seconds"))
        self.folder.put(name, _written(self.record))
        self.folder.delete(OPEN)
        return f"{self.record.stages[-1].line}; results of all stages: {self.folder.url}/{name}"


def _model(state: State[Any]) -> str:
    try:
        result = state.result(raise_on_failure=False)
    except MissingResult:  # the step has only a message
        return ""
    return str(getattr(result, "model", ""))


@contextmanager
def open_retraining(settings: Settings, request: RetrainRequest, run_id: str) -> Iterator[Retraining]:
    """Resume the open retraining, or start one, from a request that `prepare_retraining` has checked.

    Raises
    ------
    PreflightFailed, ManifestInvalid
        If another retraining is open, or the labelled data is unfit.
    ObjectNotFound, AccessDenied, TransientError
        If the decisions cannot be fetched.
    NothingNew
        If there is nothing new since the last retraining.
    LeaseHeld
        If another run is retraining.
    """
    folder = open_location(f"{settings.workspace}/retrainings")
    with lease_of(settings, "retrain", run_id) as lease:
        record = _begun(settings, request)
        unfinished = None if request.anew else _read(folder, OPEN)
        if unfinished is not None:
            record = _resumed(unfinished, record)
        elif not request.anew and _is_known(record, folder):
            raise NothingNew("nothing new to learn from since the last retraining; --anew retrains anyway")
        # Every run checks, including one that resumes, because the data may have changed.
        refuse_unfit_data(settings, request)
        folder.put(OPEN, _written(record))
        yield Retraining(record, folder, lease)


def _begun(settings: Settings, request: RetrainRequest) -> Record:
    retraining_id = uuid4().hex
    return Record(
        retraining_id=retraining_id,
        preset=request.preset,
        data=request.data,
        decisions_sha256=_digest(request.decisions),
        pool_digest=_pool_digest(settings.workspace),
        begun_at=datetime.now(UTC).isoformat(timespec="seconds"),
        # With the same seed, it would find the work folders of the one before, and add nothing to them.
        seed=int(retraining_id[:7], 16) if request.anew else 1,
    )


def _pool_digest(workspace: str) -> str:
    """Return the SHA-256 over the ids of the training crops; rejected images do not count as new."""
    return sha256("\n".join(Pool(workspace).crops("train")["crop_id"]).encode()).hexdigest()


def _digest(decisions: str | None) -> str:
    return "" if decisions is None else sha256(fetch_decisions(decisions)).hexdigest()


def _resumed(unfinished: Record, now: Record) -> Record:
    """Return the open retraining; crops that were added since are left for the next one."""
    if unfinished.request != now.request:
        raise PreflightFailed(
            f"a retraining with preset {unfinished.preset}, begun at {unfinished.begun_at}, is not completed:"
            " repeat its parameters to resume it, or give --anew to start another"
        )
    return unfinished


def _is_known(record: Record, folder: Location) -> bool:
    """Return whether a completed retraining had the same request and the same crops."""
    return any(
        (each.request, each.pool_digest) == (record.request, record.pool_digest) for each in _closed(folder)
    )


def _closed(folder: Location) -> list[Record]:
    keys = [ref.key for ref in existing(folder) if ref.key.endswith(".json") and ref.key != OPEN]
    return [record for key in keys if (record := _read(folder, key)) is not None]


def _written(record: Record) -> bytes:
    return json.dumps(asdict(record), indent=2).encode()


def _read(folder: Location, key: str) -> Record | None:
    """Read a record; None if there is none.

    Raises
    ------
    PreflightFailed
        If the file is not a valid record.
    """
    try:
        written = folder.fetch(key)
    except ObjectNotFound:
        return None
    try:
        read = json.loads(written)
        return Record(**{**read, "stages": tuple(Step(**step) for step in read["stages"])})
    except (ValueError, KeyError, TypeError) as error:
        raise PreflightFailed(
            f"{folder.url}/{key}: not the record of a retraining ({error!r}); remove it, or give --anew"
        ) from error
