from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.modelfile import pack, write_model_file
from models.training.distill.teachers import Teacher, TeacherSpec, parse_teacher, read_teacher, to_view
from tests.support.samples.networks import random_network
from tests.support.samples.students import random_pictures, random_student


def test_a_view_is_turned_back_whatever_its_shape():
    pictures = random_pictures(2, 3, 6, 10)
    views = [to_view(number, pictures) for number in range(8)]
    for number, view in enumerate(views):
        assert torch.equal(to_view(number, view, back=True), pictures)
    flat = {tuple(view.flatten().tolist()) for view in views}
    assert len(flat) == 8
    assert all(view.shape == pictures.shape for view in views[:4])


def test_a_self_ensemble_is_the_mean_over_its_views():
    student, rainy = random_student(), random_pictures(1, 3, 16, 24)
    turned = [torch.rot90(rainy, turn, (-2, -1)) for turn in range(4)]
    turned += [torch.rot90(rainy.flip(-1), turn, (-2, -1)) for turn in range(4)]
    back = [
        torch.rot90(student(view), -turn, (-2, -1)) for turn, view in zip([0, 1, 2, 3], turned, strict=False)
    ]
    back += [
        torch.rot90(student(view), -turn, (-2, -1)).flip(-1)
        for turn, view in zip([0, 1, 2, 3], turned[4:], strict=True)
    ]
    expected = torch.stack(back).mean(0)
    torch.testing.assert_close(Teacher(student, "s", "d", views=8).teach(rainy).derained, expected)
    upright = Teacher(student, "s", "d", views=4).derain(rainy)
    assert not torch.allclose(upright, expected)


def test_an_average_has_no_features():
    teacher = Teacher(random_student(), "s", "d", views=4)
    found = teacher.teach(random_pictures(1, 3, 16, 24))
    assert (dict(teacher.feature_widths), found.levels, found.rain_mask) == ({}, {}, None)


def test_a_teacher_without_a_mask_shows_where_it_takes_rain_away():
    student, rainy = random_student(), random_pictures(1, 3, 16, 24)
    found = Teacher(student, "s", "d").teach(rainy)
    layer = (rainy - student(rainy)).mean(1, keepdim=True)
    assert torch.equal(found.rain_mask, (layer > max(float(layer.mean()), 4 / 255)).float())
    assert 0 < found.rain_mask.mean() < 1


def test_afr_net_shows_its_own_mask():
    network, rainy = random_network("afr-net-tiny"), random_pictures(1, 3, 32, 48)
    found = Teacher(network, "a", "d").teach(rainy)
    assert torch.equal(found.rain_mask, torch.sigmoid(network.outputs(rainy).mask_logits))


@pytest.mark.parametrize(
    ("text", "model", "views"),
    [
        ("a/b.safetensors", "a/b.safetensors", 1),
        ("self-ensemble:models:/afr-net@champion", "models:/afr-net@champion", 4),
        ("self-ensemble-2:x", "x", 2),
        ("self-ensemble-8:x", "x", 8),
        ("self-ensemble-3:x", "self-ensemble-3:x", 1),
    ],
)
def test_a_teacher_is_named_by_its_model_and_views(text, model, views):
    assert parse_teacher(text) == TeacherSpec(model, views)


def test_a_teacher_is_read_from_its_file_and_frozen(tmp_path: Path):
    packed = pack(random_network("drd-net-tiny"), {})
    write_model_file(packed, tmp_path / "wise.safetensors")
    teacher = read_teacher(f"self-ensemble-2:{tmp_path / 'wise.safetensors'}")
    assert (teacher.name, teacher.digest, teacher.views) == ("self-ensemble-2:wise", packed.digest, 2)
    assert not teacher.network.training
    assert not any(parameter.requires_grad for parameter in teacher.network.parameters())
