from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from PIL import Image

from models.rain.banks import bank_of
from models.training.distill import teacher_targets
from models.training.distill.teacher_targets import (
    TeacherTargets,
    cache_teacher_targets,
    digest_of,
    evenly,
    read_photographs,
    trimmed,
)
from models.training.distill.teachers import Teacher
from models.training.fabric import launch_fabric
from tests.support.samples.students import random_student
from tests.support.worlds.rainy import noise, sample_rng

PHOTOGRAPHS = [noise(40, 56, 3).numpy(), noise(24, 70, 3, seed=1).numpy()]


def fabric() -> Fabric:
    return launch_fabric("cpu", "32-true")


def test_both_sides_of_a_crop_show_the_same_place():
    rainy = [torch.from_numpy(photograph) for photograph in PHOTOGRAPHS]
    given = TeacherTargets(bank_of(rainy), bank_of([255 - picture for picture in rainy]))
    ours, theirs = given.crops(sample_rng(0, 6), 16)
    assert ours.shape == (6, 3, 16, 16)
    torch.testing.assert_close(theirs, 1 - ours)
    again, _ = given.crops(sample_rng(0, 6), 16)
    other, _ = given.crops(sample_rng(6, 12), 16)
    assert torch.equal(ours, again)
    assert not torch.equal(ours, other)


def test_the_teacher_derains_whole_photographs_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    student = random_student()
    teacher = Teacher(student, "s", "digest")
    written = cache_teacher_targets(fabric(), teacher, PHOTOGRAPHS, tmp_path)
    for number, photograph in enumerate(PHOTOGRAPHS):
        rainy = torch.from_numpy(photograph).permute(2, 0, 1)[None].float() / 255
        torch.testing.assert_close(
            written.derained.picture(number), student(rainy)[0].clamp(0, 1), rtol=0, atol=0.5 / 255 + 1e-6
        )
    monkeypatch.setattr(Teacher, "derain", None)
    again = cache_teacher_targets(fabric(), teacher, PHOTOGRAPHS, tmp_path)
    assert torch.equal(again.derained.pixels, written.derained.pixels)
    with pytest.raises(TypeError):  # another teacher has other targets
        cache_teacher_targets(fabric(), Teacher(student, "s", "other"), PHOTOGRAPHS, tmp_path)
    with pytest.raises(TypeError):
        cache_teacher_targets(fabric(), teacher, PHOTOGRAPHS[:1], tmp_path)


def test_photographs_of_a_folder_are_read_upright_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "deep").mkdir()
    Image.fromarray(PHOTOGRAPHS[0]).save(tmp_path / "deep" / "b.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PHOTOGRAPHS[1]).save(tmp_path / "deep" / "a.png", exif=exif)
    (tmp_path / "notes.txt").write_text("no photograph")
    first, second = read_photographs(tmp_path)
    assert np.array_equal(first, np.rot90(PHOTOGRAPHS[1], -1))
    assert np.array_equal(second, PHOTOGRAPHS[0])
    monkeypatch.setattr(teacher_targets, "LARGEST_SIDE", 30)
    assert np.array_equal(trimmed(PHOTOGRAPHS[0]), PHOTOGRAPHS[0][5:35, 13:43])


def test_folders_without_photographs_are_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}: no photographs there"):
        read_photographs(tmp_path)
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ValueError, match=r"torn\.jpg: cannot be read as a photograph"):
        read_photographs(tmp_path)


def test_an_even_share_of_many_photographs_is_taken():
    assert evenly(list("abcdefgh"), 4) == list("aceg")
    assert evenly(list("abc"), 4) == list("abc")


def test_other_pixels_and_other_shapes_have_another_digest():
    flat = PHOTOGRAPHS[0].reshape(20, 112, 3)
    assert len({digest_of([each]) for each in (*PHOTOGRAPHS, flat)}) == 3
