"""Names that a destination takes for one: the second of them is a row, until nothing collides with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.storage.lease import LeaseLost
from infra.storage.name_folding import NameFolding, probe_name_folding
from tasks.batch import coordinator
from tasks.batch.observing import FlowObserver
from tests.support.worlds.batch import World, changed_photo

IGNORES_CASE = NameFolding(ignores_case=True)


@pytest.fixture
def no_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinator, "probe_name_folding", lambda url: IGNORES_CASE)


@pytest.mark.usefixtures("no_case")
def test_names_that_differ_in_case_alone_collide_where_case_is_ignored(world: World) -> None:
    for seed, key in enumerate(("a/x.png", "a/X.png", "A/x.png", "y.png")):
        world.put(key, changed_photo(seed))
    summary = world.derain()
    assert (summary.counts.derained, summary.counts.rejected, summary.counts.pending) == (2, 2, 0)
    reasons = world.reasons()
    assert sorted(world.outputs()) == ["A/x.png", "y.png"]
    assert all(str(reasons[key]).startswith("collides with A/x.png") for key in ("a/x.png", "a/X.png"))
    again = world.derain()
    assert (again.counts.derained, again.counts.rejected, again.counts.done_before) == (0, 0, 4)
    assert again.counts.rejected_before == {"collides with another name": 2}


@pytest.mark.usefixtures("no_case")
@pytest.mark.parametrize("way_out", ["rename", "remove"])
def test_an_image_is_derained_once_nothing_collides_with_it(world: World, way_out: str) -> None:
    rival = world.put("A.png", changed_photo(0))
    world.put("a.png", changed_photo(1))
    assert world.derain().counts.rejected == 1
    if way_out == "rename":
        rival.rename(world.source / "b.png")
    else:
        rival.unlink()
    assert world.derain().counts.derained == (2 if way_out == "rename" else 1)
    assert world.reasons()["a.png"] is None
    again = world.derain()
    assert (again.counts.derained, again.counts.rejected, again.counts.rejected_before) == (0, 0, {})


@pytest.mark.usefixtures("no_case")
def test_a_run_that_has_lost_its_lease_records_no_collision(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, key in enumerate(("A.png", "a.png")):
        world.put(key, changed_photo(seed))

    def take_over(*_: object) -> None:
        (lease,) = (Path(world.settings.workspace) / "leases").rglob("*.json")
        lease.unlink()

    monkeypatch.setattr(FlowObserver, "planned", take_over)
    with pytest.raises(LeaseLost):
        world.derain()
    assert (world.rows(), world.outputs()) == ([], {})


@pytest.mark.usefixtures("no_case")
def test_a_name_that_was_written_in_another_case_has_its_output(world: World) -> None:
    world.put("y.png", changed_photo(0))
    world.derain()
    world.put("Y.png", changed_photo(1))
    summary = world.derain()
    assert (summary.counts.done_before, summary.counts.rejected) == (1, 1)
    assert str(world.reasons()["Y.png"]).startswith("collides with y.png")


@pytest.mark.usefixtures("no_case")
def test_two_new_names_collide_with_the_one_that_owns_the_output(world: World) -> None:
    world.put("y.png", changed_photo(0))
    world.derain()
    outputs = world.outputs()
    for seed, key in enumerate(("Y.png", "Y.PNG"), start=1):
        world.put(key, changed_photo(seed))
    assert world.derain().counts.rejected == 2
    assert all(str(world.reasons()[key]).startswith("collides with y.png") for key in ("Y.png", "Y.PNG"))
    assert world.outputs() == outputs


@pytest.mark.usefixtures("no_case")
def test_a_photograph_that_was_renamed_in_case_alone_is_derained(world: World) -> None:
    path = world.put("IMG.png", changed_photo(0))
    world.derain()
    path.rename(world.source / "img.png")
    assert world.derain().counts.derained == 1


def test_a_folder_that_takes_names_literally_is_found_to_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    assert not probe_name_folding(str(tmp_path / "not there yet"))
    assert os.listdir(tmp_path) == []
