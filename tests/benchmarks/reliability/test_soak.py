"""The soak finds what is wrong where something is, and nothing after real disturbances."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.reliability import soak
from benchmarks.reliability.soak import soak_for
from benchmarks.reliability.work import Event, Redone, redone
from benchmarks.reliability.world import Faults, check, content, keys, new_world, write_model
from infra.catalog.derained import Catalog
from infra.records import Scope
from tests.support.samples.records import record


def test_only_what_nobody_damaged_counts_as_done_again() -> None:
    events = [
        Event(0.0, "", 1),
        Event(1.0, "a", 1, "A"),
        Event(3.0, "b", 1, "B"),
        Event(4.0, "b", None),
        Event(5.0, "a", 2, "A"),
        Event(6.0, "b", 2, "B"),
        Event(7.0, "a", 3, "other bytes"),
    ]
    assert redone(events) == {1: Redone(images=1, seconds=1.0)}


def test_a_check_finds_gaps_doubles_and_other_bytes(tmp_path: Path) -> None:
    world = new_world(str(tmp_path), write_model(tmp_path / "tiny.safetensors"))
    expected = {(key, 0): content(key, 0) for key in keys()}
    scope = Scope(world.source, world.destination, "same")
    catalog = Catalog(world.workspace)
    assert check(world, expected) == Faults(gaps=len(keys()))
    assert scope.source == world.source
    assert replace(record("a"), key="b").key == "b"
    assert catalog.frame().is_empty()


@pytest.mark.slow
def test_an_episode_leaves_what_an_undisturbed_run_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "DISTURBANCES", 3)
    monkeypatch.setattr(soak, "S3_SHARE", 0.0)
    found = soak_for(0, 5, tmp_path)
    assert (found.faults, found.crashes, found.unfinished) == (Faults(), 0, 0)
    assert found.runs >= 3
