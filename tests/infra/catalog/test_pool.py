"""The pool as seen by its readers: ordered rows, pixels in the order of the rows, earlier versions, sweeping."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from infra.catalog.delta.attempts import CatalogError
from infra.catalog.pool import Pool
from infra.catalog.pool_zarr import SHARD_CROPS, group_name, make_room, sweep, write_shard
from infra.storage.location import open_location
from tests.support.samples.pool_rows import pool_row

SIZES = np.full((SHARD_CROPS, 2), 512, np.uint16)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a workspace with groups of 64 and 128 crops of one grey level: the row, plus 100 in the second."""
    url = str(tmp_path_factory.mktemp("workspace"))
    for run, shards in (("a", 1), ("b", 2)):
        for number in range(shards):
            make_room(url, group_name(run), number + 1)  # grows
            levels = np.arange(SHARD_CROPS) + SHARD_CROPS * number + 100 * (run == "b")
            crops = np.broadcast_to(levels.astype(np.uint8)[:, None, None, None], (SHARD_CROPS, 512, 512, 3))
            write_shard(url, group_name(run), number, crops, SIZES)
    return url


def test_nothing_is_there_before_the_first_ingest(tmp_path: Path) -> None:
    pool = Pool(str(tmp_path))
    assert (pool.crops().height, pool.version(), pool.count(), pool.splits()) == (0, None, 0, set())
    assert "zarr_row" in pool.crops("train").columns
    assert pool.pixels(pool.crops()).shape == (0, 512, 512, 3)


def test_rows_are_given_by_split_and_as_they_were(tmp_path: Path) -> None:
    pool = Pool(str(tmp_path))
    pool.commit([pool_row("b"), pool_row("a", split="validation")], replace=False)
    before = pool.version()
    pool.commit(
        [pool_row("c"), pool_row("b", key="another"), pool_row("x", status="rejected")], replace=False
    )
    assert pool.crops()["crop_id"].to_list() == ["a", "b", "c"]
    assert pool.crops("train")["crop_id"].to_list() == ["b", "c"]
    assert "another" not in pool.crops()["key"]
    assert pool.crops(version=before)["crop_id"].to_list() == ["a", "b"]
    pool.commit([pool_row("b", key="another")], replace=True)
    assert "another" in pool.crops()["key"]
    with pytest.raises(CatalogError, match="99"):
        pool.crops(version=99)


def test_pixels_come_in_the_order_of_the_rows(workspace: str) -> None:
    wanted = [("b", 127), ("a", 3), ("b", 0), ("a", 2), ("b", 63), ("b", 64), ("a", 3)]
    rows = pl.DataFrame(
        {"zarr_group": [group_name(run) for run, _ in wanted], "zarr_row": [row for _, row in wanted]}
    )
    levels = Pool(workspace).pixels(rows)[:, 511, 511, 2].tolist()
    assert levels == [row + 100 * (run == "b") for run, row in wanted]


def test_only_what_is_asked_for_is_fetched(workspace: str) -> None:
    url = f"{workspace}/{group_name('a')}/rainy"
    location, key = open_location(url), "c/0/0/0/0"
    data = location.fetch(key)
    assert location.fetch_part(key, 5, 9) == data[5:9]
    assert location.fetch_part(key, -7) == data[-7:]
    assert location.fetch_part(key, len(data) - 2) == data[-2:]
    assert location.fetch_part(key, len(data) - 2, len(data) + 5) == data[-2:]


def test_objects_that_no_committed_row_needs_are_swept(workspace: str, tmp_path: Path) -> None:
    url = str(tmp_path)
    for run, shards in (("kept", 2), ("gone", 1)):
        make_room(url, group_name(run), shards)
        for number in range(shards):
            open_location(url).put(f"{group_name(run)}/rainy/c/{number}/0/0/0", b"shard")
    open_location(f"{url}/pool").put("notes.txt", b"not ours")
    assert sweep(url, {(group_name("kept"), 0)}) == 1 + 4
    left = {ref.key for ref in open_location(f"{url}/pool").list() if "json" not in ref.key}
    assert left == {"kept.zarr/rainy/c/0/0/0/0", "notes.txt"}
    assert sweep(str(tmp_path / "none"), set()) == 0
