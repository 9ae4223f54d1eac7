"""What was removed while a run worked is missing at its end, and the run says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from infra.catalog.derained import Catalog
from infra.records import DerainRecord
from infra.storage.name_folding import NameFolding
from tasks.batch.verification import Loss, find_loss
from tests.support.samples.records import SCOPE, record, rejected
from tests.support.worlds.batch import World


def after_commit(monkeypatch: pytest.MonkeyPatch, number: int, do: Callable[[], None]) -> None:
    """Do something once that many commits have landed."""
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
    assert (
        f"{missing} outputs that this run wrote to {world.destination} are not there any more"
        in failed.message
    )
    again = world.derain()
    assert (again.state, again.counts.derained) == ("Completed", missing)
    assert sorted(world.outputs()) == keys


def test_a_workspace_that_was_removed_in_mid_run_is_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put_photos(6)
    with monkeypatch.context() as patch:
        after_commit(patch, 1, lambda: shutil.rmtree(Path(world.catalog.url).parent))
        failed = world.derain()
    lost = failed.counts.pending
    assert (failed.state, lost > 0) == ("Failed", True)
    assert f"{lost} rows that this run committed are not in the catalog any more" in failed.message
    assert world.derain().counts.derained == lost
    assert len(world.rows()) == 6


def test_a_run_that_lost_nothing_has_nothing_to_say(world: World) -> None:
    world.put_photos(2)
    summary = world.derain()
    assert (summary.state, summary.message) == ("Completed", "")


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
    loss = find_loss(catalog, scope, "run-1", 5, NameFolding())
    assert loss == Loss(outputs=2, rows=1, examples=("cut.png", "gone.png"))
    assert find_loss(catalog, scope, "run-1", 0, NameFolding()) == Loss()
