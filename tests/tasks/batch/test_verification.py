"""A run detects at its end outputs and rows that were removed while it worked."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

from infra.catalog.derained import Catalog
from infra.records import DerainRecord
from infra.storage.lease import LeaseHeld
from infra.storage.name_folding import NameFolding
from tasks.batch.summary import RunSummary
from tasks.batch.verification import Loss, Recorded, find_loss
from tests.support.failing_calls import deny_listing
from tests.support.samples.records import SCOPE, record, rejected
from tests.support.servers.dask_cluster import wait_until
from tests.support.worlds.batch import PATIENCE, World, changed_photo


def after_commit(monkeypatch: pytest.MonkeyPatch, number: int, do: Callable[[], None]) -> None:
    """Call a function once this many commits have landed."""
    commit, commits = Catalog.commit, []

    def committed(catalog: Catalog, records: Sequence[DerainRecord], *, replace: bool) -> None:
        commit(catalog, records, replace=replace)
        commits.append(len(records))
        if len(commits) == number:
            do()

    monkeypatch.setattr(Catalog, "commit", committed)


def test_a_destination_that_was_emptied_in_mid_run_is_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = world.put_photos(6)
    with monkeypatch.context() as patch:
        after_commit(patch, 1, lambda: shutil.rmtree(world.destination))
        failed = world.derain()
    missing = 6 - len(world.outputs())
    assert missing > 0
    assert (failed.state, failed.counts.derained, failed.counts.pending) == ("Failed", 6 - missing, missing)
    assert f"{missing} outputs that this run wrote to {world.destination} no longer exist" in failed.message
    again = world.derain()
    assert (again.state, again.counts.derained) == ("Completed", missing)
    assert sorted(world.outputs()) == keys


def test_outputs_in_a_folder_that_cannot_be_listed_are_not_said_to_be_lost(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world.put("s/x.png", changed_photo(1))
    with monkeypatch.context() as patch:
        after_commit(patch, 1, lambda: deny_listing(patch, world.destination / "s"))
        summary = world.derain()
    assert (summary.state, summary.message, summary.counts.derained) == ("Completed", "", 1)
    assert (
        f"verifying the outputs could not be completed: {world.destination}/s: Permission denied"
        in caplog.text
    )


def test_a_workspace_that_was_removed_in_mid_run_is_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put_photos(6)
    with monkeypatch.context() as patch:
        after_commit(patch, 1, lambda: shutil.rmtree(Path(world.catalog.url).parent))
        failed = world.derain()
    lost = failed.counts.pending
    assert (failed.state, lost > 0) == ("Failed", True)
    assert f"{lost} rows that this run committed are no longer in the catalog" in failed.message
    assert world.derain().counts.derained == lost
    assert len(world.rows()) == 6


@pytest.mark.parametrize(
    "step", ["tasks.batch.coordinator.find_loss", "infra.catalog.derained.Catalog.maintain"]
)
def test_a_step_that_fails_after_the_work_is_a_warning(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, step: str
) -> None:
    def fails(*_: object) -> None:
        raise TimeoutError

    world.put_photos(2)
    monkeypatch.setattr(step, fails)
    summary = world.derain()
    assert (summary.state, summary.counts.derained) == ("Completed", 2)
    assert "could not be completed: TimeoutError" in caplog.text


def test_a_run_that_lost_nothing_has_nothing_to_say(world: World) -> None:
    world.put_photos(2)
    summary = world.derain()
    assert (summary.state, summary.message) == ("Completed", "")


@pytest.mark.slow
def test_a_late_commit_of_a_frozen_rival_is_not_a_loss(
    new_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = new_world(lease_seconds=2.0)
    keys = world.put_photos(14)
    token = world.root / "token"
    token.touch()
    frozen = world.start(f"before-commit:stop:{token}", variables={"DERAIN_LEASE_SECONDS": "2"})
    try:
        wait_until(lambda: psutil.Process(frozen.pid).status() == psutil.STATUS_STOPPED, frozen)
        with monkeypatch.context() as patch:
            before_commit(patch, lambda: _continued(frozen))
            summary = _once_free(world)
    finally:
        if frozen.poll() is None:
            os.killpg(frozen.pid, signal.SIGKILL)
            frozen.communicate(timeout=PATIENCE)
    assert (summary.state, summary.message, summary.counts.derained) == ("Completed", "", 14)
    rows = world.catalog.frame()
    assert (sorted(rows["key"]), len(set(rows["run_id"]))) == (keys, 2)
    assert world.derain().counts.done_before == 14


def before_commit(monkeypatch: pytest.MonkeyPatch, do: Callable[[], None]) -> None:
    """Call a function before the first commit."""
    commit, waiting = Catalog.commit, [do]

    def committed(catalog: Catalog, records: Sequence[DerainRecord], *, replace: bool) -> None:
        if waiting:
            waiting.pop()()
        commit(catalog, records, replace=replace)

    monkeypatch.setattr(Catalog, "commit", committed)


def _continued(frozen: subprocess.Popen[str]) -> None:
    """Continue a frozen run, which completes its commit and then finds that it has lost its lease."""
    os.kill(frozen.pid, signal.SIGCONT)
    _, errors = frozen.communicate(timeout=PATIENCE)
    assert frozen.returncode == 1, errors


def _once_free(world: World) -> RunSummary:
    """Run as soon as the lease of the frozen run has expired."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            return world.derain()
        except LeaseHeld:
            time.sleep(0.2)
    raise TimeoutError("the lease does not expire")


def test_outputs_are_compared_with_the_rows_of_the_run_alone(tmp_path: Path) -> None:
    catalog, destination = Catalog(str(tmp_path / "workspace")), str(tmp_path / "derained")
    scope = type(SCOPE)(SCOPE.source, destination, SCOPE.export)

    def row(key: str, **changes: object) -> DerainRecord:
        return record(key, destination=destination, output_size=3, **changes)

    rows = [row("whole"), row("cut"), row("gone"), row("of another run", run_id="run-2")]
    catalog.commit([*rows, rejected("bad", destination=destination)], replace=False)
    (tmp_path / "derained").mkdir()
    for name, data in (("whole.png", b"abc"), ("cut.png", b"")):
        (tmp_path / "derained" / name).write_bytes(data)
    loss = find_loss(catalog, scope, Recorded("run-1", 5, since=1), NameFolding())
    assert loss == Loss(outputs=2, rows=1, examples=("cut.png", "gone.png"))
    assert find_loss(catalog, scope, Recorded("run-1", 0), NameFolding()) == Loss()
