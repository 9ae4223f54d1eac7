"""Tests of one table of the catalog: reading it before the first commit, and the effects of a commit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from infra.catalog.delta.schema import TableSpec
from infra.catalog.delta.table import CatalogTable


@dataclass(frozen=True, slots=True)
class Drop:
    size: float
    note: str | None


@dataclass(frozen=True, slots=True)
class Cloud:
    name: str
    number: int
    height: float | None
    drops: tuple[Drop, ...]
    seen_at: datetime


CLOUD = Cloud("cumulus", 1, None, (Drop(0.5, "'round'"), Drop(1.5, None)), datetime(2026, 3, 1, tzinfo=UTC))
CLOUDS = TableSpec("clouds", Cloud, identity=("name", "number"), indexed=("name", "seen_at"))
TYPES = {
    "name": pl.String(),
    "number": pl.Int64(),
    "height": pl.Float64(),
    "drops": pl.List(pl.Struct({"size": pl.Float64(), "note": pl.String()})),
    "seen_at": pl.Datetime("us", "UTC"),
}


@pytest.fixture
def table(tmp_path: Path) -> CatalogTable:
    return CatalogTable(str(tmp_path), CLOUDS)


def test_columns_have_their_types_without_rows(table: CatalogTable) -> None:
    for _ in range(2):
        absent = table.frame(where="name = 'stratus'")
        assert (absent.height, dict(absent.schema)) == (0, TYPES)
        assert table.frame(["seen_at", "name"], "number < 0").schema == pl.Schema(
            {name: TYPES[name] for name in ("seen_at", "name")}
        )
        table.commit([CLOUD], replace=False)
    assert dict(table.frame().schema) == TYPES


def test_a_commit_of_nothing_leaves_nothing(table: CatalogTable, tmp_path: Path) -> None:
    table.commit([], replace=False)
    assert (table.version(), list(tmp_path.iterdir())) == (None, [])
    table.commit([CLOUD], replace=False)
    before = table.version()
    table.commit([], replace=True)
    assert table.version() == before


def test_rows_hold_what_the_records_do(table: CatalogTable) -> None:
    table.commit([CLOUD], replace=False)
    (row,) = table.frame().to_dicts()
    drops = tuple(Drop(**drop) for drop in row.pop("drops"))
    assert Cloud(drops=drops, **row) == CLOUD


@pytest.mark.parametrize("keeps_versions", [False, True])
def test_the_table_is_what_its_spec_says(tmp_path: Path, keeps_versions: bool) -> None:
    table = CatalogTable(str(tmp_path), TableSpec("kept", Cloud, ("name",), ("number",), keeps_versions))
    table.commit([CLOUD], replace=False)
    stored = DeltaTable(f"{tmp_path}/catalog/kept").metadata()
    assert stored.configuration["delta.dataSkippingStatsColumns"] == "number"
    assert ("delta.logRetentionDuration" in stored.configuration) == keeps_versions
