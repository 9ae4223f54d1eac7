"""After a repair, the next run derains images without a row again, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.storage.lease import Lease, lease_location
from tasks.batch.repair import repair
from tasks.refusals import PreflightFailed
from tests.support.samples.damages import cut, data_file, log_file
from tests.support.worlds.batch import World


def test_a_run_names_the_damaged_file_and_resumes_after_the_repair(world: World) -> None:
    world.put_photos(3)
    world.derain()
    cut(log_file(Path(world.catalog.url)), 150)
    with pytest.raises(Exception, match=r"_delta_log/0+1\.json is truncated or damaged: `derain repair`"):
        world.derain()
    before = world.outputs()
    lines = repair(world.settings).lines()
    assert "derained: rebuilt with 3 rows; no row that the log counts is lost" in lines[1]
    assert world.outputs() == before
    assert world.derain().counts.done_before == 3


def test_outputs_whose_rows_are_lost_are_counted_and_made_again(world: World) -> None:
    world.put_photos(2)
    world.derain()
    world.put("extra.png", (world.source / "night/000.png").read_bytes())
    world.derain()
    before = world.outputs()
    cut(data_file(Path(world.catalog.url)), 0)
    lines = repair(world.settings).lines()
    assert any("at least 1 rows are lost" in line for line in lines)
    assert any(line.startswith(f"{world.destination}: 1 objects have no row") for line in lines)
    assert world.outputs() == before
    assert world.derain().counts.derained == 1
    assert world.outputs() == before


def test_a_catalog_in_use_is_not_repaired(world: World) -> None:
    with (
        Lease(lease_location(world.settings.workspace), str(world.destination), "the-run", 30.0),
        pytest.raises(PreflightFailed, match=r"in use, wait for the run to end: .*run the-run"),
    ):
        repair(world.settings)


def test_an_intact_workspace_is_unchanged(world: World) -> None:
    assert repair(world.settings).lines() == [
        f"{name}: intact" for name in ("derained", "pool", "pseudo_labels", "promotions")
    ]
    assert not (world.root / "workspace").exists()
