"""A new champion makes no image pending again; `redo=stale` redoes exactly the outputs of other versions."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.tracking.registry import CHAMPION_URL, STUDENT, Registry
from models.modelfile import pack
from tasks.batch.coordinator import BatchRequest, make_plan
from tasks.batch.planning.plan import Redo
from tasks.batch.planning.plan_list import write_list
from tasks.batch.preflight import prepare
from tasks.codec.exports import Export
from tasks.media.sources import Selection, open_source
from tasks.promotion.transaction import roll_back
from tests.support.samples.students import random_student
from tests.support.worlds.batch import World
from tests.support.worlds.promotion import add, found


@pytest.fixture
def world(tracking_tables: Path, new_world) -> World:
    """Return photographs, and a registry with version 1 as champion and a version 2."""
    world = new_world()
    shutil.copytree(tracking_tables, world.settings.workspace)
    first, second = (pack(random_student(seed=seed), {"seed": seed}) for seed in range(2))
    add(found(world.settings, first), second)
    world.put_photos(4)
    return world


def versions(world: World) -> dict[str, str]:
    """Return the version that made each output."""
    return {row["key"]: row["model_version"] for row in world.rows()}


def listed(world: World, redo: Redo) -> list[str]:
    """Return the keys that `--plan-only` lists."""
    prepared = prepare(
        world.settings, str(world.source), str(world.destination), Export("same"), CHAMPION_URL
    )
    request = BatchRequest("planned", datetime.now(UTC), Selection(), redo)
    with make_plan(prepared, request, world.catalog) as plan:
        url = write_list(plan, prepared.scope.source, world.settings.workspace, request.run_id)
    return sorted(ref.key for ref in open_source(url).refs())


def test_only_what_older_versions_made_is_stale(world: World):
    world.derain(model=CHAMPION_URL)
    before = world.outputs()
    assert set(versions(world).values()) == {"1"}
    roll_back(world.settings, 2, "to 2")
    assert world.derain(model=CHAMPION_URL).counts.derained == 0
    assert world.outputs() == before
    new = {"day/100.png", "day/101.png"}
    for key in new:
        world.put(key, (world.source / "night/000.png").read_bytes())
    world.derain(model=CHAMPION_URL)
    assert versions(world) == {key: "2" if key in new else "1" for key in {*before, *new}}
    assert (listed(world, "none"), listed(world, "stale")) == ([], sorted(before))
    assert {key: world.outputs()[key] for key in before} == before  # listing changed nothing
    assert world.derain(model=CHAMPION_URL, redo="stale").counts.derained == len(before)
    assert set(versions(world).values()) == {"2"}
    assert all(world.outputs()[key] != data for key, data in before.items())
    assert listed(world, "stale") == []
    roll_back(world.settings, None, "back")
    assert listed(world, "stale") == sorted({*before, *new})


def test_a_run_keeps_the_version_that_it_began_with(world: World, monkeypatch: pytest.MonkeyPatch):
    serving = []

    def promoted_meanwhile(name, key=""):
        if name == "before-commit" and not serving:
            serving.append(roll_back(world.settings, 2, "meanwhile").to_version)

    monkeypatch.setattr("tasks.batch.stage.failpoint", promoted_meanwhile)
    world.put_photos(9)  # more than a wave
    assert world.derain(model=CHAMPION_URL).counts.derained == 9
    assert (serving, Registry(world.settings).aliases(STUDENT).champion) == (["2"], "2")
    assert set(versions(world).values()) == {"1"}
