"""Curation from the pool to the ledger: incremental, reviewed, and poisoned."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from deltalake import DeltaTable
from torch import Tensor

from infra.catalog.delta import compaction
from tasks.curation import judging
from tasks.curation.coordinator import curate_pool
from tasks.curation.decisions import DecisionsInvalid
from tasks.curation.planning import CurationRequest
from tasks.refusals import PreflightFailed
from tests.support.samples.photographs import PHOTOGRAPHS, photograph
from tests.support.worlds.curations import SMALL, STUDENT, total
from tests.support.worlds.pools import SIDE, rainy_crops, settings_of, write_pool


def pretend(monkeypatch, derain: Callable[[Tensor], Tensor]) -> None:
    """Replace the output of the judged network; the independent ones stay unchanged."""
    honest = judging._derain
    monkeypatch.setattr(
        judging, "_derain", lambda job, model: derain if model == job.teacher else honest(job, model)
    )


def test_rain_that_is_found_is_accepted_and_nothing_is_judged_twice(world, monkeypatch):
    ids = write_pool(world.workspace, rainy_crops())
    first = world.curate("r1")
    assert total(first) == len(ids)
    assert first.decided.accepted >= 2
    assert first.decided.accepted == first.in_force == len(world.accepted())
    assert all(row["reason"] for row in world.rows("r1").values() if row["decision"] == "rejected")
    version = world.labels.version()
    second = world.curate("r2")
    assert (total(second), second.in_force, second.page) == (0, first.in_force, first.page)
    assert (world.labels.version(), sorted(world.judges.judged)) == (version, sorted(ids))
    more = write_pool(world.workspace, rainy_crops(1)[:1], run_id="later")
    monkeypatch.setattr(compaction, "COMPACT_AT", 2)
    third = world.curate("r3")  # with the same pixels
    assert world.judges.judged[len(ids) :] == more
    assert total(third) == 1
    assert len(DeltaTable(world.labels.url).file_uris()) == 1


def test_a_damaged_crop_stays_pending_alone(world):
    ids = write_pool(world.workspace, rainy_crops())
    (shard,) = Path(world.workspace, "pool").rglob("c/0/0/0/0")
    data = bytearray(shard.read_bytes())
    data[200:260] = bytes(60)
    shard.write_bytes(data)
    found = world.curate("r1")
    assert (total(found), len(found.pending)) == (len(ids) - 1, 1)
    assert "restore it from a backup" in found.pending[0].reason


def test_a_crop_that_does_not_fit_in_memory_stays_pending_alone(world, monkeypatch):
    ids, calls = write_pool(world.workspace, rainy_crops()), []

    def derain(rainy: Tensor) -> Tensor:
        calls.append(rainy)
        if len(calls) == 1:
            raise MemoryError("no room")
        return rainy

    pretend(monkeypatch, derain)
    found = world.curate("r1")
    assert (total(found), len(found.pending)) == (len(ids) - 1, 1)
    assert found.pending[0].reason == "MemoryError: no room"


def test_a_limit_leaves_crops_for_the_next_run(world):
    ids = write_pool(world.workspace, rainy_crops())
    first = world.curate("r1", limit=1)
    assert (total(first), first.waiting) == (1, len(ids) - 1)
    assert f"{len(ids) - 1} new crops are left for the next run" in first.line()
    rest = world.curate("r2")
    assert (total(rest), rest.waiting) == (len(ids) - 1, 0)
    assert sorted(world.judges.judged) == sorted(ids)


def test_pixels_and_confidence_are_those_of_the_crop(world):
    crops = rainy_crops()
    ids = write_pool(world.workspace, crops)
    world.curate("r1")
    accepted = world.labels.accepted()
    found = world.labels.pixels(accepted)
    for place, crop_id in enumerate(accepted["crop_id"]):
        crop = crops[ids.index(crop_id)].astype(int)
        label, sure = found.pseudo_label[place], found.confidence[place]
        assert not sure[SIDE:].any()
        assert not sure[:, SIDE:].any()
        brighter = (crop - label[:SIDE, :SIDE]).mean(-1)
        assert brighter[sure[:SIDE, :SIDE] > 0].mean() > 5  # rain was removed there
        assert sure.mean() / 255 == pytest.approx(accepted["confident"][place] * SIDE**2 / 512**2, rel=0.05)


def test_a_better_teacher_replaces_and_a_worse_one_does_not(world):
    write_pool(world.workspace, rainy_crops(2))
    world.curate("r1", teacher=SMALL)
    before = {row["crop_id"]: row for row in world.labels.accepted().iter_rows(named=True)}
    assert before
    world.curate("r2", teacher=STUDENT)
    rows = world.rows("r2")
    after = {row["crop_id"]: row for row in world.labels.accepted().iter_rows(named=True)}
    assert set(before) <= set(after)
    for crop_id, old in before.items():
        is_better = rows[crop_id]["score"] > old["score"]
        assert rows[crop_id]["decision"] == ("accepted" if is_better else "kept")
        assert after[crop_id]["run_id"] == ("r2" if is_better else "r1")


def test_a_reviewer_has_the_last_word(world):
    write_pool(world.workspace, rainy_crops())
    world.curate("r1", score=0.5)
    rows = world.rows("r1")
    taken = [crop for crop, row in rows.items() if row["decision"] == "accepted"]
    refused = [crop for crop, row in rows.items() if row["decision"] == "rejected" and row["confident"] > 0]
    assert taken
    assert refused
    path = world.decide("first.json", {taken[0]: "reject", refused[0]: "accept"})
    world.judges.judged.clear()
    summary = world.curate("r2", decisions=path, score=0.5)
    assert (summary.decided.accepted, summary.decided.rejected, summary.decided.reviewed) == (1, 1, 2)
    assert world.judges.judged == [refused[0]]  # its pixels had not been kept
    assert set(world.accepted()) == {*taken[1:], refused[0]}
    row = world.rows("r2")[refused[0]]
    assert (row["rule"], row["reviewer_decision"]) == ("reviewer-1", "accept")
    assert str(row["zarr_group"]).startswith("pseudo/r2-")
    again = world.curate("r3", decisions=path, score=0.5)
    assert (total(again), again.in_force) == (0, summary.in_force)
    world.curate("r4", score=0.3)  # other limits: all is judged again
    assert world.rows("r4")[taken[0]]["reason"] == "a reviewer rejected this crop"
    assert world.rows("r4")[refused[0]]["decision"] == "kept"
    world.curate("r5", decisions=world.decide("second.json", {refused[0]: "reject"}), score=0.3)
    assert refused[0] not in world.accepted()


def test_a_decision_on_what_other_networks_made_accepts_nothing(world):
    (crop,) = write_pool(world.workspace, [photograph("chelsea", SIDE)])
    world.curate("r1")
    path = world.decide("stale.json", {crop: "accept"}, judgement="another")
    world.curate("r2", decisions=path)
    assert world.accepted() == []
    assert str(world.rows("r2")[crop]["reason"]).startswith("a reviewer accepted another pseudo-label")


def test_an_empty_pool_is_reported(world):
    with pytest.raises(PreflightFailed, match=r"no training crops; fill it with 'python -m flows\.ingest"):
        world.curate("r1")


def test_a_network_is_not_judged_by_itself(world):
    write_pool(world.workspace, rainy_crops(1))
    request = CurationRequest("r1", STUDENT, (STUDENT,), None, None)
    with pytest.raises(PreflightFailed, match="judged by itself alone"):
        curate_pool(settings_of(world.workspace), request)


def test_a_hostile_file_changes_nothing(world):
    write_pool(world.workspace, rainy_crops(1))
    path = world.decide("hostile.json", {"unknown": "accept"}, judgement="j")
    with pytest.raises(DecisionsInvalid, match=r"hostile\.json: 1 of 1 decisions"):
        world.curate("r1", decisions=path)
    assert world.labels.version() is None


def test_clean_photographs_and_noise_are_rejected(world):
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    clean = [photograph(name, SIDE) for name in PHOTOGRAPHS[:3]]
    ids = write_pool(world.workspace, [*clean, noise, np.full_like(noise, 90)])
    summary = world.curate("r1")
    assert (summary.decided.accepted, summary.in_force, summary.streaks) == (0, 0, 0)
    reasons = {crop: str(row["reason"]) for crop, row in world.rows("r1").items()}
    assert all(reasons.values())
    assert reasons[ids[-1]] == "no rain found"
    grouped = pl.read_delta(world.labels.url).group_by("reason").len()
    assert grouped["len"].max() >= 2  # figures, which differ per crop, are in another column
    assert all(row["reason_details"] for row in world.rows("r1").values())
    assert not any(re.search(r"\d", reason) for reason in grouped["reason"])


def test_duplicates_and_one_camera_are_bounded(world):
    clean = [photograph(name, SIDE).astype(int) for name in PHOTOGRAPHS]
    best = max(zip(rainy_crops(), clean, strict=True), key=lambda pair: (pair[0] - pair[1]).mean())[0]
    write_pool(world.workspace, [best] * 3 + [best[::-1], best[:, ::-1]], groups=["dashcam"] * 5)
    summary = world.curate("r1", quota=2, score=0.1, informedness=-1.0, detail_kept=0.0)
    assert summary.decided.accepted == 2
    groups = {f"pseudo/{ref.key.partition('/')[0]}" for ref in world.list("pseudo")}
    assert groups == set(world.labels.accepted()["zarr_group"])  # groups of the others are removed
    reasons = [str(row["reason"]) for row in world.rows("r1").values() if row["decision"] == "rejected"]
    assert sum(reason == "the same pixels as another crop" for reason in reasons) == 2


POISONS: dict[str, Callable[[Tensor], Tensor]] = {
    "black": torch.zeros_like,
    "shifted": lambda rainy: rainy.roll(7, -1),
    "blurred": lambda rainy: torch.nn.functional.avg_pool2d(rainy, 9, 1, 4, count_include_pad=False),
    "identity": lambda rainy: rainy,
}


@pytest.mark.parametrize("poison", POISONS)
def test_a_poisonous_teacher_is_refused_and_a_hostile_reviewer_bounded(world, monkeypatch, poison):
    """Rules accept none of its output; a reviewer who accepts all gets at most the quota, and no bank of edges."""
    ids = write_pool(world.workspace, rainy_crops(2), groups=["dashcam"] * 2)
    pretend(monkeypatch, POISONS[poison])
    summary = world.curate("r1", quota=1)
    assert summary.decided.accepted == 0
    assert all(row["reason"] for row in world.rows("r1").values())
    hostile = world.decide("hostile.json", dict.fromkeys(ids, "accept"))
    after = world.curate("r2", decisions=hostile, quota=1)
    assert after.decided.accepted <= 1
    if poison == "identity":
        assert after.decided.accepted == 0
    for row in world.labels.accepted().iter_rows(named=True):
        assert row["confident"] < 0.35
