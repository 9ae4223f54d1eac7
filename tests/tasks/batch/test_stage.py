"""derain-batch as a stage: rows that are committed together, and cases in which none are."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.catalog.derained import Catalog
from infra.settings import Settings
from infra.storage.lease import Lease, LeaseLost, lease_location
from tasks.batch.stage import DerainStage
from tasks.waves.runner import Pace, run_stage
from tasks.waves.stage import Finished
from tasks.waves.tally import Tally
from tests.support.samples.records import record
from tests.support.samples.shards import JOB, Workers, result_of, shard_of


def stage_of(catalog: Catalog, *keys: str) -> DerainStage:
    class Plan:
        def shards(self, limits):
            return iter([shard_of(key) for key in keys])

    return DerainStage(Settings(_env_file=None), Plan(), JOB, catalog)


def test_a_wave_is_one_commit_and_only_repeated_images_replace_rows(tmp_path: Path) -> None:
    catalog, tally = Catalog(str(tmp_path)), Tally()
    catalog.commit([record("a"), record("b")], replace=False)
    fresh = Finished(shard_of("a"), result_of(record("a", minute=5), record("c", minute=5)))
    again = Finished(shard_of("b", replace=True), result_of(record("b", minute=5), unfinished=2))
    stage = stage_of(catalog)
    assert stage.commit([fresh, again]) == ()
    for finished in (fresh, again):
        tally.add(finished.result, stage.outcome)
    minutes = {row["key"]: row["derained_at"].minute for row in catalog.frame().to_dicts()}
    assert minutes == {"a": 0, "b": 5, "c": 5}
    assert (tally.done, tally.unfinished_count, tally.images, tally.image_seconds) == (3, 2, 5, 1.0)


def test_nothing_is_committed_once_the_lease_is_lost(tmp_path: Path) -> None:
    catalog, leases = Catalog(str(tmp_path)), lease_location(str(tmp_path))
    with Lease(leases, "/derained", "run-1", 30.0) as lease:
        ours = next(iter(leases.list())).key
        leases.put(ours.replace("000000001", "000000002"), leases.fetch(ours))
        tally = run_stage(stage_of(catalog, "a"), lease, Workers(), Pace(1, 1.0), lambda tally: None)
        with pytest.raises(LeaseLost, match="another run took it over"):
            lease.check()
    assert "another run took it over" in str(tally.stopped_by)
    assert (tally.recorded, catalog.frame().height) == (0, 0)
