"""A damaged table is refused with the name of the file, and rebuilt from its readable files."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from infra.catalog.delta import compaction, durability, repair
from infra.catalog.delta.damage import CatalogDamaged
from infra.catalog.delta.repair import repair_table
from infra.catalog.delta.schema import VERSION
from infra.catalog.delta.table import CatalogTable
from infra.catalog.derained import TABLE, Catalog
from infra.catalog.promotions import TABLE as PROMOTIONS
from infra.catalog.promotions import Ledger, Promotion
from tests.support.samples.damages import DAMAGES, cut, data_file, log_file
from tests.support.samples.records import record

COMMITS = 5


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace whose catalog has one commit per row, and a checkpoint before the last two."""
    workspace = tmp_path_factory.mktemp("sound")
    catalog = Catalog(str(workspace))
    for number in range(COMMITS):
        catalog.commit([record(f"{number}", minute=number)], replace=False)
        if number == COMMITS - 3:
            DeltaTable(catalog.url).create_checkpoint()
    return workspace


@pytest.fixture
def workspace(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    return Path(shutil.copytree(sound, tmp_path / "workspace"))


def rows(workspace: Path) -> list[str]:
    return sorted(Catalog(str(workspace)).frame()["key"])


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_table_is_refused_by_file_and_rebuilt(workspace: Path, name: str) -> None:
    catalog = Catalog(str(workspace))
    named = DAMAGES[name](Path(catalog.url))
    with pytest.raises(CatalogDamaged) as refused:
        catalog.frame()
    assert str(named) in str(refused.value)
    assert "derain repair" in str(refused.value)
    assert "python -m flows.repair" in str(refused.value)
    repaired = repair_table(str(workspace), TABLE)
    assert any(str(named).endswith(damage.key) for damage in repaired.damages)
    lost = 1 if name.startswith("a data file") else 0
    assert (repaired.kept, repaired.lost) == (COMMITS - lost, lost)
    assert rows(workspace) == [f"{number}" for number in range(COMMITS - lost)]
    assert Path(repaired.kept_as).is_dir()
    catalog.commit([record("new")], replace=False)
    assert "new" in rows(workspace)
    assert repair_table(str(workspace), TABLE).damages == ()


def test_nothing_is_committed_onto_a_log_with_a_hole(workspace: Path) -> None:
    catalog = Catalog(str(workspace))
    cut(log_file(Path(catalog.url)), 0)
    with pytest.raises(CatalogDamaged, match="is empty"):
        catalog.commit([record("new")], replace=False)


def test_rows_that_were_replaced_stay_replaced_and_in_order(workspace: Path) -> None:
    catalog = Catalog(str(workspace))
    catalog.commit([record("1", minute=0, run_id="newer")], replace=True)
    order = _order(catalog)
    cut(log_file(Path(catalog.url), 1), 0)
    assert repair_table(str(workspace), TABLE).kept == COMMITS
    assert catalog.frame(where="key = '1'")["run_id"].to_list() == ["newer"]
    assert _order(catalog) == order
    catalog.commit([record("0", run_id="newest")], replace=True)
    assert _order(catalog)[-1] == "0"


def test_a_compacted_table_is_rebuilt_from_the_files_that_were_compacted(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog(str(workspace))
    monkeypatch.setattr(compaction, "COMPACT_AT", 2)
    assert catalog.maintain()
    cut(data_file(Path(catalog.url)), 0)
    repaired = repair_table(str(workspace), TABLE)
    assert (repaired.kept, repaired.lost) == (COMMITS, 0)


@pytest.mark.parametrize("step", ["_move", "create"])
def test_an_interrupted_repair_is_refused_until_it_is_finished(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    cut(log_file(Path(Catalog(str(workspace)).url)), 100)

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        owner = repair if step == "_move" else CatalogTable
        patch.setattr(owner, step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            repair_table(str(workspace), TABLE)
    with pytest.raises(CatalogDamaged):
        rows(workspace)
    assert repair_table(str(workspace), TABLE).kept == COMMITS
    assert len(rows(workspace)) == COMMITS


def test_a_ledger_is_rebuilt_and_a_commit_that_never_landed_is_not(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path))
    for version in ("1", "2"):
        ledger.append(_promotion(version))
    before = ledger.rows("student")
    shutil.copy(data_file(Path(ledger.url)), Path(ledger.url, "part-00000-never-landed.parquet"))
    cut(log_file(Path(ledger.url)), 900)
    repair_table(str(tmp_path), PROMOTIONS)
    assert ledger.rows("student") in (before, before[:1])
    assert ledger.append(_promotion("3")).to_version == "3"


def test_a_commit_is_synced_to_disk(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(durability, "sync_to_disk", lambda path: synced.append(path))
    catalog = Catalog(str(workspace))
    catalog.commit([record("new")], replace=False)
    table = Path(catalog.url)
    assert {data_file(table), log_file(table), table / "_delta_log", table} <= set(synced)


def _order(catalog: Catalog) -> list[str]:
    frame = catalog.frame(["key", VERSION]).sort(VERSION, "key")
    assert isinstance(frame, pl.DataFrame)
    return frame["key"].to_list()


def _promotion(version: str) -> Promotion:
    when = datetime(2026, 1, 1, tzinfo=UTC)
    return Promotion("student", 0, "promoted", None, version, "", (), None, "run", when)
