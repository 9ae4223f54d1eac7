from __future__ import annotations

import pytest
import torch
from torch import nn

from models.networks.losses import charbonnier
from models.networks.student import PRESETS, Student, StudentConfig
from tests.support.samples.networks import farthest_gradient
from tests.support.samples.students import random_pictures, random_student

LOPSIDED = StudentConfig(
    unshuffle=1, widths=(4, 8, 4), encoder_blocks=(2, 0), middle_blocks=2, decoder_blocks=(0, 1)
)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (20, 2000), (2000, 20), (33, 47), (64, 64)])
def test_any_size_comes_back_the_same_size(size):
    rainy = random_pictures(1, 3, *size)
    derained = random_student()(rainy)
    assert derained.shape == rainy.shape
    assert torch.isfinite(derained).all()
    assert not torch.equal(derained, rainy)


def test_padding_repeats_the_edge():
    rainy = random_pictures(1, 3, 13, 22)
    student = random_student()
    padded = nn.functional.pad(rainy, (0, 2, 0, 3), mode="replicate")
    torch.testing.assert_close(student(rainy), student(padded)[..., :13, :22], atol=0, rtol=0)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_new_student_leaves_photographs_alone(preset):
    rainy = random_pictures(2, 3, 17, 30)
    assert torch.equal(Student(PRESETS[preset])(rainy), rainy)


def test_pictures_of_a_batch_do_not_see_each_other():
    student = random_student()
    rainy = random_pictures(3, 3, 24, 32)
    alone = torch.cat([student(picture[None]) for picture in rainy])
    torch.testing.assert_close(student(rainy), alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("config", [*PRESETS.values(), LOPSIDED], ids=[*PRESETS, "lopsided"])
def test_receptive_radius_is_the_farthest_pixel_with_a_gradient(config):
    assert farthest_gradient(Student(config)) == config.receptive_radius
    assert not config.global_operation


def test_pixels_beyond_the_radius_change_nothing():
    student = random_student().double()
    radius = student.config.receptive_radius
    near = random_pictures(1, 3, 160, 32).double()
    far = near.clone()
    far[:, :, : 152 - radius] = 0.5
    assert torch.equal(student(far)[:, :, 152:], student(near)[:, :, 152:])
    assert not torch.equal(student(far)[:, :, 100:], student(near)[:, :, 100:])


def test_it_learns_one_pair():
    torch.manual_seed(0)
    student = Student(PRESETS["tiny"])
    clean = random_pictures(1, 3, 1, 1).expand(1, 3, 32, 32)
    rainy = clean + 0.4 * (torch.arange(32) % 7 == 0)
    optimizer = torch.optim.AdamW(student.parameters(), lr=3e-3)
    losses = []
    for _ in range(150):
        loss = charbonnier(student(rainy), clean)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_features_are_decoder_and_bottleneck_by_scale():
    student, rainy = random_student(), random_pictures(2, 3, 21, 30)
    found = student.features(rainy)
    assert torch.equal(found.derained, student(rainy))
    assert {cell: level.shape for cell, level in found.levels.items()} == {
        2: (2, 8, 11, 15),
        4: (2, 8, 6, 8),
        8: (2, 8, 3, 4),
    }
    assert {cell: level.shape[1] for cell, level in found.levels.items()} == student.feature_widths
    assert found.rain_mask is None
