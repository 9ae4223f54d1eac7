"""The shards of a plan: they keep to their limits, shrink towards the end, and are all new or all redone."""

from __future__ import annotations

import heapq
from itertools import pairwise

import pytest

from infra.catalog.derained import Catalog
from tasks.batch.planning.plan import PlanRequest, Redo, plan
from tasks.media.sources import Selection
from tasks.waves.pending import LEAST_SHARD_PIXELS, ShardLimits, estimated_pixels
from tests.support.samples.records import SCOPE, ref, rejected


@pytest.fixture
def catalog(tmp_path) -> Catalog:
    return Catalog(str(tmp_path))


def request(redo: Redo = "none") -> PlanRequest:
    return PlanRequest(SCOPE, Selection(include=("*",)), redo, "model-1")


@pytest.mark.parametrize("size", [0, 1, 7, 100])
@pytest.mark.parametrize("limits", [(1, 10**9, 1), (16, 10**9, 2), (1000, 5_000_000, 1), (3, 5_000_000, 9)])
def test_shards_hold_each_image_once_in_order_and_keep_to_their_limits(catalog, monkeypatch, size, limits):
    monkeypatch.setattr("tasks.batch.planning.plan.CHUNK", 8)
    listing = [ref(f"{number:03d}.jpg", size_bytes=250_000 + number) for number in range(size)]
    limits = ShardLimits(*limits)
    with plan(request(), catalog, listing, []) as todo:
        shards = list(todo.shards(limits))
        assert [item for shard in shards for item in shard.items] == listing
        assert [shard.index for shard in shards] == list(range(len(shards)))
        assert all(len(shard.items) <= limits.max_images for shard in shards)
        assert all(cost(shard.items[:-1]) < limits.max_pixels for shard in shards)
        assert shards == list(todo.shards(limits))


@pytest.mark.parametrize("workers", [1, 2, 16])
def test_shards_shrink_so_that_all_workers_end_at_about_the_same_time(catalog, workers):
    listing = [ref(f"{number:04d}.jpg", size_bytes=100_000) for number in range(3000)]
    with plan(request(), catalog, listing, []) as todo:
        costs = [cost(shard.items) for shard in todo.shards(ShardLimits(1000, 64_000_000, workers))]
    one = cost(listing[:1])
    assert costs[0] > 60_000_000 if workers < 4 else costs[0] > 40_000_000
    assert all(later <= earlier for earlier, later in pairwise(costs))
    assert costs[-1] <= LEAST_SHARD_PIXELS + one
    free = [0] * workers  # when each worker is free; the next shard goes to who is free first
    for shard in costs:
        heapq.heapreplace(free, free[0] + shard)
    assert max(free) - min(free) <= LEAST_SHARD_PIXELS + one


def cost(refs):
    return sum(map(estimated_pixels, refs))


def test_a_shard_is_all_new_or_all_again(catalog):
    listing = [ref(f"{number}") for number in range(20)]
    catalog.commit([rejected(item.key) for item in listing[::2]], replace=False)
    with plan(request(redo="rejected"), catalog, listing, []) as todo:
        shards = list(todo.shards(ShardLimits(4, 10**9)))
    assert {item.key for shard in shards for item in shard.items if shard.replace} == {
        f"{n}" for n in range(0, 20, 2)
    }
    assert sorted(len(shard.items) for shard in shards) == [2, 2, 4, 4, 4, 4]
