"""Curation resumes after a kill: complete shards of judged crops are reused, incomplete ones are removed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from infra.catalog.pseudo_label_zarr import PseudoPixels
from tasks.curation import coordinator, judged_shards, judging
from tasks.curation.acceptance import AGREE, Scores, rejection_of
from tasks.curation.judged_shards import Judged
from tasks.curation.judging import CropRef, JudgingJob
from tests.support.worlds.curations import CurationWorld, total
from tests.support.worlds.pools import rainy_crops, write_pool

SCORES = Scores(0.5, 0.02, 0.6, 0.8, 0.7, 0.9, None, 1.0, 0.5, None)
STRICT = 0.99
"""A minimum score that rejects every crop."""


@pytest.fixture(autouse=True)
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Judge without networks; return the list of judged crops."""
    found: list[str] = []

    def judge(job: JudgingJob, crop: CropRef, rainy: np.ndarray) -> tuple[Judged, PseudoPixels]:
        found.append(crop.key)
        pixels = PseudoPixels(np.full((512, 512, 3), 7, np.uint8), np.full((512, 512), 200, np.uint8))
        return Judged(crop.key, AGREE, SCORES, rejection_of(AGREE, SCORES, job.limits)), pixels

    monkeypatch.setattr(judging, "judge", judge)
    return found


class Killed(BaseException):
    """Stands in for the death of the process."""


def killed_at(world: CurationWorld, monkeypatch: pytest.MonkeyPatch, point: str, **options: object) -> None:
    """Run `r1` until it dies at a failpoint."""

    def kill(name: str, key: str = "") -> None:
        if name == point:
            raise Killed

    with monkeypatch.context() as patched:
        for module in (coordinator, judged_shards):
            patched.setattr(module, "failpoint", kill)
        with pytest.raises(Killed):
            world.curate("r1", **options)


@pytest.mark.parametrize(
    ("point", "judged_again"),
    [("after-pixels", 2), ("after-judged", 1), ("before-rows", 0), ("after-rows", 0)],
)
def test_a_killed_run_is_finished_by_the_next(world, monkeypatch, judged, point, judged_again):
    """The run dies after the first shard's pixels, after its marker, before the rows, or after them."""
    write_pool(world.workspace, rainy_crops(2))
    killed_at(world, monkeypatch, point)
    judged.clear()
    done = world.curate("r2")
    assert len(judged) == judged_again
    run = "r1" if point == "after-rows" else "r2"
    assert len(world.rows(run)) == 2
    assert total(done) == (0 if point == "after-rows" else 2)
    assert str(done.page).endswith(f"{run}.html")
    accepted = world.labels.accepted()
    assert accepted.height == 2
    names = {group.removeprefix("pseudo/").removesuffix(".zarr") for group in accepted["zarr_group"]}
    assert {ref.key.partition("/")[0] for ref in world.list("pseudo")} == {f"{name}.zarr" for name in names}
    assert {ref.key for ref in world.list("streaks")} == {f"{name}.safetensors" for name in names}
    assert world.labels.pixels(accepted).confidence.any(axis=(1, 2)).all()


def test_markers_keep_the_reason_for_a_rejection_under_its_first_key(world, monkeypatch, judged):
    write_pool(world.workspace, rainy_crops(1))
    killed_at(world, monkeypatch, "after-judged", score=STRICT)
    (marker,) = Path(world.workspace).glob("pseudo/judged/*/*.json")
    (stored,) = json.loads(marker.read_text())
    assert stored["refusal"]["reason"] == "low score"
    assert "rejection" not in stored
    judged.clear()
    done = world.curate("r2", score=STRICT)
    assert (judged, done.decided.rejected) == ([], 1)


def test_pixels_that_a_reviewer_asks_for_are_made_again(world, judged):
    (crop,) = write_pool(world.workspace, rainy_crops(1))
    world.curate("r0", score=STRICT)
    path = world.decide("accept.json", {crop: "accept"})
    world.curate("r2", decisions=path, score=STRICT)
    assert world.accepted() == [crop]
    assert judged == [crop, crop]


def test_decisions_beyond_the_limit_wait_for_the_next_run(world, judged):
    ids = write_pool(world.workspace, rainy_crops(2))
    world.curate("r1", score=STRICT)
    path = world.decide("accept.json", dict.fromkeys(ids, "accept"))
    first = world.curate("r2", decisions=path, limit=1, score=STRICT)
    assert (first.decided.accepted, first.waiting) == (1, 1)
    second = world.curate("r3", decisions=path, score=STRICT)
    assert (second.decided.accepted, second.in_force) == (1, 2)


def test_a_limit_does_not_discard_what_a_killed_run_judged(world, monkeypatch, judged):
    ids = write_pool(world.workspace, rainy_crops(4))
    killed_at(world, monkeypatch, "before-rows", limit=3)
    done = world.curate("r2", limit=1)
    assert (total(done), done.waiting) == (4, 0)
    assert sorted(judged) == sorted(ids)


def test_a_requested_crop_is_judged_again_if_a_killed_run_kept_no_pixels(world, monkeypatch, judged):
    (crop,) = write_pool(world.workspace, rainy_crops(1))
    world.curate("r0", score=STRICT)
    (more,) = write_pool(world.workspace, rainy_crops(2)[1:], run_id="later")
    killed_at(world, monkeypatch, "before-rows", score=STRICT)
    judgement = str(world.rows("r0")[crop]["judgement"])
    assert [judged.kept_group for judged in finished(world, judgement)] == [None]
    seen = world.decide("both.json", {crop: "accept", more: "accept"}, judgement)
    world.curate("r2", decisions=seen, score=STRICT)
    assert sorted(world.accepted()) == sorted([crop, more])
    assert world.labels.pixels(world.labels.accepted()).confidence.any(axis=(1, 2)).all()


def test_a_marker_without_its_group_is_not_reused(world, monkeypatch, judged):
    """A worker that outlived its coordinator marked its shard after another run had begun to remove the group."""
    write_pool(world.workspace, rainy_crops(1))
    killed_at(world, monkeypatch, "before-rows")
    (lost,) = Path(world.workspace, "pseudo").glob("r1-*.zarr/confidence/c/0/0/0")
    lost.unlink()
    judged.clear()
    world.curate("r2")
    assert len(judged) == 1
    accepted = world.labels.accepted()
    assert world.labels.pixels(accepted).confidence.any(axis=(1, 2)).all()
    assert {f"pseudo/{ref.key.partition('/')[0]}" for ref in world.list("pseudo")} == set(
        accepted["zarr_group"]
    )


def test_a_damaged_marker_is_judged_again(world, monkeypatch, judged, caplog):
    write_pool(world.workspace, rainy_crops(1))
    killed_at(world, monkeypatch, "before-rows")
    (marker,) = Path(world.workspace, "pseudo/judged").glob("*/*.json")
    marker.write_bytes(b"[{}]")
    world.curate("r2")
    assert len(judged) == 2
    assert f"{marker.name}: damaged, judged again" in caplog.text


def test_judgements_of_other_networks_are_kept_until_a_run_ends(world, monkeypatch, judged):
    write_pool(world.workspace, rainy_crops(1))
    killed_at(world, monkeypatch, "before-rows")
    kept = {ref.key for ref in world.list("pseudo")}
    killed_at(world, monkeypatch, "after-pixels", score=STRICT)
    assert kept < {ref.key for ref in world.list("pseudo")}
    judged.clear()
    world.curate("r3")
    assert judged == []
    assert list(Path(world.workspace, "pseudo/judged").rglob("*.json")) == []


def finished(world: CurationWorld, judgement: str) -> list[judged_shards.Judged]:
    return list(judged_shards.read_finished(world.workspace, judgement).values())
