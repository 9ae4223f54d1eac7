"""Waves of derain-batch: what is committed together, and when nothing is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.catalog.derained import Catalog
from infra.errors import AccessDenied
from infra.records import ImageRef
from infra.storage.lease import Lease, LeaseLost, lease_location
from tasks.batch.waves import finish_wave, record_wave
from tasks.waves.dispatch import Finished
from tasks.waves.wave import Tally
from tests.support.samples.records import record
from tests.support.samples.shards import result_of, shard_of


class _Results:
    """A wave that has come back already."""

    def __init__(self, *finished: Finished) -> None:
        self._finished = finished

    def results(self) -> Iterator[Finished]:
        yield from self._finished


def test_a_wave_is_one_commit_and_only_repeated_images_replace_rows(tmp_path: Path) -> None:
    catalog, tally = Catalog(str(tmp_path)), Tally()
    catalog.commit([record("a"), record("b")], replace=False)
    fresh = Finished(shard_of("a"), result_of(record("a", minute=5), record("c", minute=5)))
    again = Finished(shard_of("b", replace=True), result_of(record("b", minute=5), unfinished=2))
    with Lease(lease_location(str(tmp_path)), "/derained", "run-1", 30.0) as lease:
        record_wave(_Results(fresh, again), catalog, lease, tally.add)
    minutes = {row["key"]: row["derained_at"].minute for row in catalog.frame().to_dicts()}
    assert minutes == {"a": 0, "b": 5, "c": 5}
    assert (tally.done, tally.unfinished_count, tally.images, tally.image_seconds) == (3, 2, 5, 1.0)


def test_nothing_is_committed_once_the_lease_is_lost(tmp_path: Path) -> None:
    catalog, leases = Catalog(str(tmp_path)), lease_location(str(tmp_path))
    with Lease(leases, "/derained", "run-1", 30.0) as lease:
        ours = next(iter(leases.list())).key
        leases.put(ours.replace("000000001", "000000002"), leases.fetch(ours))
        with pytest.raises(LeaseLost, match="another run took it over"):
            record_wave(_Results(Finished(shard_of("a"), result_of(record("a")))), catalog, lease, print)
    assert catalog.frame().height == 0


def test_a_wave_that_storage_refuses_is_a_failed_task_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, leases = Catalog(str(tmp_path)), lease_location(str(tmp_path))
    wave = _Results(Finished(shard_of("a"), result_of(record("a"))))
    with Lease(leases, "/derained", "run-1", 30.0) as lease, monkeypatch.context() as patch:
        patch.setattr(type(leases), "list", _denied)
        state = finish_wave.fn(1, wave, catalog, lease, print)
    assert state is not None
    assert (state.is_failed(), state.message) == (True, "token lapsed")


def _denied(_: object) -> Iterator[ImageRef]:
    raise AccessDenied("token lapsed")
