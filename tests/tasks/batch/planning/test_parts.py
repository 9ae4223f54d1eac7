"""A plan in parts holds what the whole plan holds, in a fixed order, and frees its temporary files."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from infra.catalog.derained import Catalog
from infra.records import DerainRecord, ImageRef
from infra.storage.name_folding import NameFolding
from infra.storage.spill import SpillFile
from tasks.batch.planning import parts
from tasks.batch.planning.parts import SpilledFrames, part_count
from tasks.batch.planning.plan import Plan, PlanCounts, PlanRequest, plan
from tasks.media.sources import Selection
from tasks.waves.pending import ShardLimits
from tests.support.samples.records import SCOPE, record, ref, rejected

IGNORES_CASE = NameFolding(ignores_case=True)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """A catalog with a row of each kind, of this source and of another one."""
    rows: list[DerainRecord] = []
    for number in range(8):
        rows += [
            record(f"done-{number}"),
            record(f"gone-{number}"),
            record(f"changed-{number}", "e0"),
            record(f"stale-{number}", model_digest="model-0"),
            rejected(f"rejected-{number}", reason=f"reason {number % 3}"),
            record(f"Folded-{number}"),
            record(f"replaced-{number}", output_size=7),
            record(f"overwritten-{number}"),
            record(f"contested-{number}", source="s3://other"),
        ]
    catalog = Catalog(str(tmp_path))
    catalog.commit(rows, replace=False)
    later = [record(f"other-{number}", output_key=f"overwritten-{number}.png") for number in range(8)]
    catalog.commit(later, replace=False)
    return catalog


def listing() -> list[ImageRef]:
    kinds = ("new", "done", "gone", "changed", "stale", "rejected", "folded", "Same", "same")
    kinds += ("contested", "replaced", "overwritten")
    return [ref(f"{kind}-{number}") for number in range(8) for kind in kinds]


def planned(catalog: Catalog, folding: NameFolding) -> Plan:
    there = ("done", "changed", "stale", "Folded", "contested", "replaced", "overwritten")
    outputs = [ref(f"{kind}-{number}.png") for kind in there for number in range(8)]
    request = PlanRequest(SCOPE, Selection(include=("*",)), "stale", "model-1", folding=folding)
    return plan(request, catalog, listing(), outputs)


def content(todo: Plan) -> tuple[PlanCounts, list[tuple[ImageRef, bool]], list[str], int]:
    """Return the counts, the pending images with whether each replaces a row, the collisions, and the contests."""
    collisions = [f"{collision.ref.key} {collision.reason}" for collision in todo.collisions]
    shards = todo.shards(ShardLimits(3, 10**9))
    pending = [(ref, shard.replace) for shard in shards for ref in shard.items]
    pending.sort(key=lambda each: each[0].key)
    return todo.counts, pending, sorted(collisions), todo.contest.images


@pytest.mark.parametrize("folding", [NameFolding(), IGNORES_CASE], ids=["any name", "ignores case"])
@pytest.mark.parametrize("part_rows", [1, 5, 40])
def test_a_plan_in_parts_equals_the_whole(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, folding: NameFolding, part_rows: int
) -> None:
    with planned(catalog, folding) as todo:
        whole = content(todo)
    monkeypatch.setattr(parts, "PART_ROWS", part_rows)
    monkeypatch.setattr(parts, "SPILLED_ROWS", 3)
    with planned(catalog, folding) as todo:
        assert content(todo) == whole
        order = list(todo.refs())
    with planned(catalog, folding) as todo:
        assert list(todo.refs()) == order
    assert whole[0].gone == whole[0].stale == whole[0].rejected == whole[0].replaced == 8
    assert whole[0].overwritten == 8
    assert (whole[0].colliding, whole[3]) == ((16, 16) if folding else (0, 16))


def test_the_parts_hold_each_row_once_in_the_order_of_arrival() -> None:
    with SpillFile() as file:
        spilled = SpilledFrames(file)
        spilled.add(pl.DataFrame({"a": [0, 1, 2, 3]}), pl.Series([0, 1, 0, 1]))
        spilled.add(pl.DataFrame({"a": [4, 5]}), pl.Series([1, 0]))
        read = [[frame["a"].to_list() for frame in spilled.read(number)] for number in range(3)]
    assert read == [[[0, 2], [5]], [[1, 3], [4]], []]


def test_a_catalog_of_any_size_has_parts_of_a_bounded_size() -> None:
    sizes = (0, 1, parts.PART_ROWS, parts.PART_ROWS + 1, 100_000_000)
    assert [part_count(rows) for rows in sizes] == [1, 1, 1, 2, 25]


def test_rows_are_counted_without_reading_them(catalog: Catalog, tmp_path: Path) -> None:
    assert catalog.approximate_rows() == 80
    assert Catalog(str(tmp_path / "empty")).approximate_rows() == 0
