"""An ingest that is killed, or whose storage fails, leaves nothing half-done, and the next one completes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from infra.catalog.delta.attempts import CatalogError
from infra.catalog.pool import Pool
from infra.catalog.pool_zarr import FOLDER, write_shard
from infra.errors import AccessDenied, StorageError
from infra.failpoints import VARIABLE, failpoint
from infra.storage.lease import Lease, LeaseHeld, lease_location
from tests.support.worlds.batch import PATIENCE
from tests.support.worlds.ingest import IMAGES, IngestWorld, Left

PLACES = ("after-shard", "before-pool-commit", "after-pool-commit", "between-waves")


class Killed(BaseException):
    """Ends a run at any point, as a signal does."""


@pytest.mark.parametrize("place", PLACES)
def test_killed_anywhere_the_next_run_ends_as_if_undisturbed(
    place: str, again: IngestWorld, undisturbed: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[str] = []

    def point(name: str, key: str = "") -> None:
        failpoint(name, key)
        passed.append(name)
        if passed.count(place) == 2:
            raise Killed

    for module in ("tasks.pool.cropping", "tasks.pool.stage", "tasks.waves.runner"):
        monkeypatch.setattr(f"{module}.failpoint", point)
    with pytest.raises(Killed):
        again.ingest()
    monkeypatch.undo()
    half = again.objects()
    assert again.ingest().state == "Completed"
    assert again.left() == undisturbed
    crops = again.pool.crops()
    shards = crops.select(pl.col("zarr_group"), pl.col("zarr_row") // 64).unique().height
    assert len(again.objects()) == 2 * shards  # crops and valid sizes of each shard
    assert half - again.objects() or place not in PLACES[:2]


@pytest.mark.parametrize("failing", [{1}, {2}, {1, 2}])
def test_crops_that_cannot_be_put_leave_their_images_pending(
    failing: set[int], again: IngestWorld, undisturbed: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def fails(*arguments: Any) -> None:
        calls.append(len(calls) + 1)
        if calls[-1] in failing:
            raise StorageError("disk: full")
        write_shard(*arguments)

    monkeypatch.setattr("tasks.pool.cropping.write_shard", fails)
    summary = again.ingest()
    assert (summary.state, summary.pending > 0) == ("Failed", True)
    assert "disk: full" in summary.message
    there = again.rows()
    assert len(there) == len(undisturbed[0]) - summary.pending
    kept = {row["image_id"] for row in there if row["status"] == "accepted"}
    assert {row["duplicate_of"] for row in there} <= kept | {None}
    monkeypatch.undo()
    assert again.ingest().state == "Completed"
    assert again.pool.count() == again.pool.crops()["perceptual_hash"].n_unique() == IMAGES
    assert again.reasons().keys() == {row["key"] for row in undisturbed[0]}


@pytest.mark.parametrize(
    ("call", "fault"), [(1, CatalogError("catalog: throttled")), (2, AccessDenied("token lapsed"))]
)
def test_a_commit_that_fails_ends_the_run_and_nothing_is_half_there(
    call: int, fault: Exception, again: IngestWorld, undisturbed: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, calls = Pool.commit, []

    def fails(*arguments: Any, **options: Any) -> None:
        calls.append(1)
        if len(calls) == call:
            raise fault
        commit(*arguments, **options)

    monkeypatch.setattr(Pool, "commit", fails)
    summary = again.ingest()
    assert (summary.state, len(calls)) == ("Failed", call)
    assert str(fault) in summary.message
    monkeypatch.undo()
    assert again.ingest().state == "Completed"
    assert again.left() == undisturbed


def test_the_second_of_two_concurrent_ingests_is_refused(again: IngestWorld) -> None:
    workspace = again.settings.workspace
    pool = f"{workspace}/{FOLDER}"
    with Lease(lease_location(workspace), pool, "first", 30.0), pytest.raises(LeaseHeld, match="run first"):
        again.ingest()
    assert again.objects() == set()


@pytest.mark.slow
def test_a_process_killed_before_its_commit_leaves_nothing_that_counts(
    again: IngestWorld, undisturbed: Left
) -> None:
    environment = {**os.environ, VARIABLE: "before-pool-commit:self"}
    killed = subprocess.run(
        [sys.executable, "-m", "tests.support.worlds.ingest", str(again.root), again.settings.workspace],
        cwd=Path(__file__).parents[3],
        env=environment,
        capture_output=True,
        timeout=PATIENCE,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (again.objects() != set(), again.pool.count()) == (True, 0)
    assert again.ingest().state == "Completed"
    assert again.left() == undisturbed
