"""The catalog keeps one row per identity, whoever writes, however often, and whatever fails."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.table import TableMerger

from infra.catalog.delta import compaction
from infra.catalog.delta.attempts import ATTEMPTS, CatalogError
from infra.catalog.delta.schema import CatalogSchemaMismatch, record_schema, records_table
from infra.catalog.delta.table import WorkspaceRefused
from infra.catalog.derained import TABLE, Catalog, in_scope
from infra.records import DerainRecord, Scope
from infra.storage.credentials import delta_options
from tests.support.samples.records import SCOPE, record, ref, rejected
from tests.support.servers import forked


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(str(tmp_path))


@pytest.fixture(params=["folder", pytest.param("bucket", marks=[pytest.mark.ceph, pytest.mark.slow])])
def workspace(request, tmp_path) -> str:
    """Return a folder or a bucket of the real object gateway."""
    return str(tmp_path) if request.param == "folder" else f"{request.getfixturevalue('bucket')}/work space"


def keys(catalog: Catalog) -> list[str]:
    return sorted(catalog.frame()["key"])


def statuses(catalog: Catalog, scope: Scope) -> dict[str, int]:
    return Counter(catalog.frame(where=in_scope(scope))["status"])


def test_absent_table_is_an_empty_catalog_and_reading_makes_nothing(catalog, tmp_path):
    assert catalog.frame().height == 0
    assert catalog.frame(where=in_scope(SCOPE)).height == 0
    assert catalog.worst(SCOPE, 3) == []
    assert not catalog.maintain()
    catalog.commit([], replace=False)
    assert list(tmp_path.iterdir()) == []


def test_rows_come_back_as_they_were(catalog):
    rows = [record("a b/%20.jpg"), rejected("ünï'; DROP.jpg")]
    catalog.commit(rows, replace=False)
    assert catalog.sample(SCOPE, 9) == [rows[0]]
    assert catalog.rejected(SCOPE, 9) == [rows[1]]


def test_rejected_rows_are_found_by_key_and_etag(catalog):
    rows = [rejected("b"), rejected("a"), record("c")]
    catalog.commit([*rows, rejected("a", "e2")], replace=False)
    assert catalog.rejected_images(SCOPE, [ref("b"), ref("a"), ref("c"), ref("d")]) == [rows[1], rows[0]]
    assert catalog.rejected_images(SCOPE, [ref("d")]) == catalog.rejected_images(SCOPE, []) == []
    assert catalog.rejected(SCOPE, 0) == []


def test_committing_twice_adds_nothing(catalog):
    catalog.commit([record("a"), record("b")], replace=False)
    catalog.commit([record("b", minute=1), record("c", minute=1)], replace=False)
    assert keys(catalog) == ["a", "b", "c"]
    assert next(catalog.scan(where="key = 'b'"))["derained_at"][0].as_py().minute == 0


def test_replacing_updates_the_row_and_adds_new_ones(catalog):
    catalog.commit([rejected("a"), record("b")], replace=False)
    catalog.commit([record("a", minute=1), record("c")], replace=True)
    assert keys(catalog) == ["a", "b", "c"]
    assert statuses(catalog, SCOPE) == {"derained": 3}


@pytest.mark.parametrize("replace_rows", [False, True])
def test_one_identity_twice_in_a_commit_is_one_row(catalog, replace_rows):
    catalog.commit([record("a"), record("a", minute=1)], replace=replace_rows)
    catalog.commit([record("a"), record("a", minute=2)], replace=replace_rows)
    assert keys(catalog) == ["a"]


def test_each_part_of_the_identity_counts(catalog):
    base = record("a")
    others = [replace(base, **{name: "other"}) for name in ("source", "key", "etag", "destination", "export")]
    catalog.commit([base, *others], replace=False)
    assert catalog.frame().height == 6
    assert statuses(catalog, SCOPE) == {"derained": 3}
    assert statuses(catalog, Scope("other", SCOPE.destination, SCOPE.export)) == {"derained": 1}


def test_history_can_be_travelled_back_to(catalog):
    catalog.commit([rejected("a")], replace=False)
    before = DeltaTable(catalog.url).version()
    catalog.commit([record("a", minute=1)], replace=True)
    old = DeltaTable(catalog.url, version=before).to_pyarrow_table()
    assert old["status"].to_pylist() == ["rejected"]


def test_polars_reads_it(catalog):
    catalog.commit([record("a"), rejected("b")], replace=False)
    frame = pl.scan_delta(catalog.url).filter(pl.col("status") == "derained").collect()
    assert frame["key"].to_list() == ["a"]
    assert frame.schema["derained_at"] == pl.Datetime("us", "UTC")


def test_queries_of_the_report(catalog):
    rows = [
        record(f"{number:03d}", rain_energy=number / 100, run_id=f"run-{number % 2}") for number in range(40)
    ]
    catalog.commit(rows[:15], replace=False)
    catalog.commit([*rows[15:], rejected("r2"), rejected("r1")], replace=False)
    assert [row.key for row in catalog.worst(SCOPE, 3)] == ["039", "038", "037"]
    assert [row.key for row in catalog.worst(SCOPE, 2, run_id="run-0")] == ["038", "036"]
    assert [row.key for row in catalog.rejected(SCOPE, 1)] == ["r1"]
    sample = catalog.sample(SCOPE, 5)
    assert sample == catalog.sample(SCOPE, 5)
    assert len({row.key for row in sample}) == 5
    assert [row.key for row in sample] != sorted(row.key for row in sample)
    assert catalog.sample(SCOPE, 3) == sample[:3]


def test_a_table_of_another_schema_is_refused(catalog):
    write_deltalake(catalog.url, pa.table({"key": ["a"], "height": ["tall"]}))
    for call in (catalog.frame, lambda: catalog.commit([record("a")], replace=False)):
        with pytest.raises(CatalogSchemaMismatch, match=r"height: string, not int64.*use another workspace"):
            call()


def test_a_workspace_with_a_percent_escape_is_refused(tmp_path):
    with pytest.raises(WorkspaceRefused, match="choose another name"):
        Catalog(f"{tmp_path}/a%20b")


@pytest.mark.parametrize("name", ["with space", "ünï", "a#b?c", "50%"])
def test_odd_workspaces_work(tmp_path, name):
    catalog = Catalog(str(tmp_path / name))
    catalog.commit([record("a")], replace=False)
    catalog.commit([record("a", minute=1), record("b")], replace=True)
    assert keys(catalog) == ["a", "b"]
    assert [path.name for path in tmp_path.iterdir()] == [name]


class Failing:
    """Fails the commits with the given numbers, before or after they land."""

    def __init__(self, monkeypatch, calls: set[int], error: Exception, *, landed: bool = False) -> None:
        self.calls, self.count = calls, 0
        execute = TableMerger.execute

        def failing(merger):
            self.count += 1
            if self.count not in self.calls:
                return execute(merger)
            if landed:
                execute(merger)
            raise error

        monkeypatch.setattr(TableMerger, "execute", failing)
        monkeypatch.setattr(time, "sleep", lambda seconds: None)


@pytest.mark.parametrize("landed", [False, True])
@pytest.mark.parametrize("error", [CommitFailedError("lost"), OSError("503"), DeltaError("Generic S3 error")])
@pytest.mark.parametrize("calls", [{1}, {2}, {3}, {1, 2}, {1, 2, 3}])
def test_a_commit_that_fails_is_tried_again(catalog, monkeypatch, calls, error, landed):
    failing = Failing(monkeypatch, calls, error, landed=landed)
    for number in range(3):
        catalog.commit([record(f"{number}"), record(f"{number}b")], replace=False)
    assert keys(catalog) == ["0", "0b", "1", "1b", "2", "2b"]
    assert failing.count == 3 + len(calls)


def test_a_commit_that_always_fails_is_a_fault_of_the_world(catalog, monkeypatch):
    catalog.commit([record("a")], replace=False)
    failing = Failing(monkeypatch, set(range(100)), OSError("reset by\n peer"))
    with pytest.raises(CatalogError, match=r"commit failed 12 times: reset by peer$"):
        catalog.commit([record("b")], replace=False)
    assert failing.count == ATTEMPTS
    assert keys(catalog) == ["a"]


def test_a_permanent_error_is_not_retried(catalog, monkeypatch):
    failing = Failing(monkeypatch, set(range(100)), PermissionError("no"))
    with pytest.raises(CatalogError, match="refused: no"):
        catalog.commit([record("b")], replace=False)
    assert failing.count == 1


@pytest.mark.parametrize("replace_rows", [False, True])
def test_a_stale_writer_looks_again(catalog, monkeypatch, replace_rows):
    """A second coordinator commits the same rows after this one has read the table and before it commits."""
    catalog.commit([record("a")], replace=False)
    execute = TableMerger.execute
    rivals = [1]

    def beaten(merger):
        if rivals:
            rivals.pop()
            Catalog(catalog.url.removesuffix("/catalog/derained")).commit([record("b")], replace=False)
        return execute(merger)

    monkeypatch.setattr(TableMerger, "execute", beaten)
    catalog.commit([record("b", minute=1), record("c")], replace=replace_rows)
    assert keys(catalog) == ["a", "b", "c"]


def _commit_many(workspace: str, barrier, number: int) -> None:
    catalog = Catalog(workspace)
    for wave in range(4):
        barrier.wait()
        shared = [record(f"shared-{wave}-{item}", minute=number) for item in range(20)]
        catalog.commit([*shared, record(f"own-{number}-{wave}")], replace=bool((number + wave) % 2))


def test_racing_processes_leave_no_duplicate_and_lose_no_row(workspace):
    barrier = forked.forks().Barrier(3, timeout=60)
    writers = [forked.start(_commit_many, workspace, barrier, number) for number in range(3)]
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    catalog = Catalog(workspace)
    counts = Counter(keys(catalog))
    assert set(counts.values()) == {1}
    assert len(counts) == 4 * 20 + 3 * 4
    assert statuses(catalog, SCOPE) == {"derained": len(counts)}


def test_maintenance_compacts_many_small_files_and_loses_no_row(workspace, monkeypatch):
    catalog = Catalog(workspace)
    monkeypatch.setattr(compaction, "COMPACT_AT", 6)
    for number in range(5):
        catalog.commit([record(f"{number}"), record(f"{number}b")], replace=False)
    assert not catalog.maintain()
    catalog.commit([record("5"), record("5b")], replace=False)
    before = catalog.frame().sort("key")
    reading = catalog.scan(columns=["key"])
    first = next(reading)
    assert catalog.maintain()
    assert len(DeltaTable(catalog.url, storage_options=delta_options(catalog.url)).file_uris()) == 1
    assert catalog.frame().sort("key").equals(before)
    assert first.num_rows + sum(batch.num_rows for batch in reading) == 12, "a reader was disturbed"
    assert not catalog.maintain()
    catalog.commit([record("5")], replace=False)
    assert catalog.frame().height == 12


def test_maintenance_that_loses_a_race_is_put_off(catalog, monkeypatch):
    monkeypatch.setattr(compaction, "COMPACT_AT", 2)
    catalog.commit([record("a")], replace=False)
    catalog.commit([record("b")], replace=False)
    monkeypatch.setattr(compaction, "no_rebase", lambda: (_ for _ in ()).throw(CommitFailedError("lost")))
    assert not catalog.maintain()
    assert keys(catalog) == ["a", "b"]


def test_schema_follows_from_the_record():
    schema = record_schema(DerainRecord)
    assert schema.field("key") == pa.field("key", pa.string(), nullable=False)
    assert schema.field("reason").nullable
    assert schema.field("derained_at").type == pa.timestamp("us", tz="UTC")
    assert records_table([record("a")], TABLE).num_rows == 1
