"""The soak finds every fault that a test introduces, and none after real disturbances."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from benchmarks.reliability import soak, world
from benchmarks.reliability.soak import soak_for
from benchmarks.reliability.work import Event, Redone, redone
from benchmarks.reliability.world import Faults, World, check, content, keys, new_world
from infra.storage.location import open_location


def test_only_undamaged_outputs_count_as_redone() -> None:
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


def test_a_frozen_run_does_no_work() -> None:
    frozen = [Event(0.0, "", 1), Event(1.0, "a", 1, "A"), Event(20.0, "", 1), Event(22.0, "b", 1, "B")]
    again = [Event(25.0, "", 2), Event(26.0, "b", 2, "B")]
    assert redone([*frozen, *again]) == {1: Redone(images=1, seconds=2.0)}


@dataclass
class Undisturbed:
    """A world whose outputs and rows are correct until a test spoils them."""

    world: World
    rows: list[dict[str, Any]]

    def check(self) -> Faults:
        return check(self.world, {(key, 0): content(key, 0) for key in keys()})


@pytest.fixture
def undisturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Undisturbed:
    made = new_world(str(tmp_path), tmp_path / "no model")
    rows = []
    for ref in open_location(made.source).list():
        data = content(ref.key, 0)
        open_location(made.destination).put(ref.key, data)
        identity = {
            "source": made.source,
            "key": ref.key,
            "etag": ref.etag,
            "destination": "there",
            "export": "same",
        }
        rows.append({**identity, "status": "derained", "output_sha256": sha256(data).hexdigest()})
    monkeypatch.setattr(world, "Catalog", lambda _: SimpleNamespace(frame=lambda: pl.DataFrame(rows)))
    return Undisturbed(made, rows)


def test_a_check_finds_nothing_where_nothing_is_wrong(undisturbed: Undisturbed) -> None:
    assert undisturbed.check() == Faults()


def test_a_check_finds_what_is_wrong(undisturbed: Undisturbed) -> None:
    first, second, third, *_ = keys()
    destination = open_location(undisturbed.world.destination)
    destination.delete(first)
    destination.put(second, b"other bytes")
    destination.put("nobody's.jpg", b"")
    undisturbed.rows.append(undisturbed.rows[-1])
    undisturbed.rows[:] = [row for row in undisturbed.rows if row["key"] != third]
    Path(undisturbed.world.destination, ".derain-0-1-2-3.tmp").touch()
    assert undisturbed.check() == Faults(gaps=2, doubles=1, byte_differences=2, leftovers=1)


@pytest.mark.slow
def test_an_episode_leaves_what_an_undisturbed_run_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "DISTURBANCES", 3)
    monkeypatch.setattr(soak, "S3_SHARE", 0.0)
    found = soak_for(0, 5, tmp_path)
    assert (found.faults, found.crashes, found.unfinished) == (Faults(), 0, 0)
    assert found.runs >= 3
