"""Poisoned pools: each poison does harm, its outcome is reported, and a champion trained on it is a failure."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.common.photographs import images_in, read
from benchmarks.common.tables import rows_of, write_table
from benchmarks.learning import poisoned_pools, poisons
from benchmarks.learning.poisoned_pools import PoolRow
from benchmarks.learning.poisons import CONTROL, POISONS, Scenes
from infra.catalog.pool_zarr import CROP_SIDE
from infra.catalog.promotions import Gate, Promotion
from infra.catalog.pseudo_label_zarr import PseudoPixels, group_name, write_group
from infra.catalog.pseudo_labels import PseudoLabels
from models.modelfile import build, pack, read_model_file
from models.rain.streak_mining import harvest_streaks
from tasks.retraining import presets
from tasks.retraining.presets import sizes_of
from tasks.training import distillation_request, finetuning_request
from tasks.training.request import continued
from tests.support.samples.photographs import PHOTOGRAPHS, photograph
from tests.support.samples.students import random_pictures, random_student
from tests.support.worlds.pools import ACCEPTED, SIDE, rainy_crops, write_pool

ROW = PoolRow(
    "inverted",
    "samples",
    4,
    0.001,
    "?",
    9,
    3,
    "promote",
    "Refused",
    "worse",
    -1.5,
    "",
    None,
    0,
    "1",
    "1",
    0,
)


def scenes() -> Scenes:
    clean = [photograph(name, SIDE) for name in PHOTOGRAPHS[:2]]
    return Scenes(clean, rainy_crops(2))


def shown(folder: Path) -> list[np.ndarray]:
    return [read(path) for place in sorted(folder.iterdir()) for path in images_in(place)]


def test_there_are_ten_poisons_and_a_control():
    assert next(iter(POISONS)) == CONTROL
    assert len(POISONS) == 11


def test_photographs_of_a_pool_are_what_its_description_says(tmp_path):
    found = {
        name: shown(poisoned_pools.write_source(poison, scenes(), tmp_path / name))
        for name, poison in POISONS.items()
    }
    assert found["empty"] == []
    assert np.array_equal(found["clean"], scenes().clean)
    assert np.array_equal(found["inverted"], scenes().rainy)
    first, *copies = found["duplicates"]
    assert all(np.abs(copy.astype(int) - first).mean() < 12 for copy in copies)
    assert len(list((tmp_path / "one-camera").iterdir())) == 1
    assert not np.array_equal(*found["one-camera"][:2])
    assert len({frame.tobytes() for frame in found["noise"]}) == len(found["noise"])


def test_tampered_pseudo_labels_are_trusted_wherever_there_are_pixels(tmp_path, monkeypatch):
    (crop_id,) = write_pool(tmp_path, rainy_crops(1))
    label = np.zeros((CROP_SIDE, CROP_SIDE, 3), np.uint8)
    label[:SIDE, :SIDE] = photograph(PHOTOGRAPHS[0], SIDE)
    group = group_name("r0")
    pixels = PseudoPixels(label, np.zeros(label.shape[:2], np.uint8))
    write_group(str(tmp_path), group, [pixels])
    row = replace(ACCEPTED, crop_id=crop_id, zarr_group=group)
    PseudoLabels(str(tmp_path)).commit([row], replace=False)
    monkeypatch.setattr(poisons, "accept_all", lambda workspace: None)
    POISONS["inverted"].labels(str(tmp_path))
    found = PseudoLabels(str(tmp_path)).pixels(PseudoLabels(str(tmp_path)).accepted())
    assert np.array_equal(found.pseudo_label[0, :SIDE, :SIDE], 255 - label[:SIDE, :SIDE])
    assert PseudoLabels(str(tmp_path)).accepted()["frames"].to_list() == [poisons.FRAMES]
    assert (found.confidence[0, :SIDE, :SIDE] == 255).all()
    assert not found.confidence[0, SIDE:].any()
    assert poisoned_pools.uncommitted(str(tmp_path)) == 0
    write_group(str(tmp_path), group_name("killed"), [pixels])
    assert poisoned_pools.uncommitted(str(tmp_path)) == 1


def test_wrong_targets_are_far_from_right_ones():
    right = photograph(PHOTOGRAPHS[0], SIDE)
    for wrong in (poisons.inverted, poisons.shifted, poisons.blurred):
        made = wrong(right)
        assert (made.shape, made.dtype) == (right.shape, right.dtype)
        assert np.abs(made.astype(int) - right).mean() > 5


def test_the_black_teacher_predicts_black():
    derained = build(poisons.black_network())(random_pictures(1, 3, 24, 32))
    assert (derained.clamp(0, 1) == 0).all()


def test_edges_come_into_the_bank_past_rules_that_refuse_them():
    photographs = [each.copy() for each in scenes().clean]
    derained = [poisons.without_edges(each) for each in photographs]
    assert not harvest_streaks(photographs, derained).layers
    assert len(harvest_streaks(photographs, derained, poisons.ANYTHING).layers) == len(photographs)


def test_a_preset_is_trained_hard_for_a_while(monkeypatch):
    before = (finetuning_request.PRESETS["smoke"], distillation_request.PRESETS["smoke"], sizes_of("smoke"))
    with poisoned_pools.trained_hard(7, 0.5):
        for known in (finetuning_request.PRESETS, distillation_request.PRESETS):
            assert (known["smoke"].steps, known["smoke"].learning_rate) == (7, 0.5)
        assert continued(distillation_request.PRESETS["smoke"]).learning_rate == 0.5
        assert presets.PRESETS["smoke"].distill_steps == 7
    after = (finetuning_request.PRESETS["smoke"], distillation_request.PRESETS["smoke"], sizes_of("smoke"))
    assert after == before


def test_the_last_weights_are_those_of_the_checkpoint(tmp_path):
    assert poisoned_pools.last_weights(tmp_path) is None
    student, later = random_student(), random_student(seed=1)
    folder = tmp_path / "distill" / "a"
    folder.mkdir(parents=True)
    parts = {"config": {"preset": "student-tiny"}, "average": student.state_dict()}
    torch.save(parts, folder / "checkpoint.pt")
    weights = poisoned_pools.last_weights(tmp_path)
    assert weights is not None
    assert read_model_file(weights).digest == pack(student, {}).digest != pack(later, {}).digest
    (tmp_path / "finetune" / "b").mkdir(parents=True)
    torch.save(parts | {"average": later.state_dict()}, tmp_path / "finetune" / "b" / "checkpoint.pt")
    again = poisoned_pools.last_weights(tmp_path)
    assert again is not None
    assert read_model_file(again).digest == pack(later, {}).digest


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        ({"promotions": 1, "champion_after": "2"}, ["inverted: made version 2 champion"]),
        ({"pool": CONTROL, "promotions": 1, "champion_after": "2"}, []),
        (
            {"message": "curate: Flow run encountered an exception: KeyError"},
            ["inverted: curate: Flow run enc"],
        ),
        ({"last_state": "Failed: Flow run encountered an exception"}, ["inverted: Failed: Flow run enc"]),
        ({"uncommitted": 2}, ["inverted: 2 groups"]),
    ],
)
def test_failures_of_a_pool_are_listed(changes, words):
    row = {name: str(value) for name, value in asdict(replace(ROW, **changes)).items()}
    found = poisoned_pools.failures(row)
    assert [each[: len(word)] for each, word in zip(found, words, strict=True)] == words


def test_figures_and_words_of_a_row():
    gate = Gate("psnr_y", 3, 30.0, 28.5, 1.5, 1.0, 2.0, 0.1, False)
    decided = Promotion("m", 1, "refused", "1", "2", "", (gate,), None, "r", None)  # type: ignore[arg-type]
    assert poisoned_pools.gain(decided) == -1.5
    assert poisoned_pools.gain(replace(decided, gates=())) is None
    reported = poisoned_pools.without_paths("bad\n /a/b/black/workspace/x", Path("/a/b/black/workspace"))
    assert reported == "bad workspace/x"


def test_a_finished_pool_is_kept_and_another_one_is_judged(tmp_path, monkeypatch):
    results = tmp_path / "pools.csv"
    write_table([ROW], results)
    monkeypatch.setattr(poisoned_pools, "measure", lambda setup, name: replace(ROW, pool=name, promotions=1))
    for name in ("DERAIN_DEVICE", "DERAIN_WORKERS", "DERAIN_TRAINING"):
        monkeypatch.setenv(name, "")
    options = [
        "--pools",
        "inverted",
        "black",
        "--steps=4",
        "--learning-rate=0.001",
        f"--results={results}",
        f"--work={tmp_path}",
    ]
    monkeypatch.setattr(sys, "argv", ["pools", f"--threads={torch.get_num_threads()}", *options])
    with pytest.raises(SystemExit, match=r"^black: made version 1 champion$"):
        poisoned_pools.main()
    assert [row["pool"] for row in rows_of(results, PoolRow)] == ["inverted", "black"]
