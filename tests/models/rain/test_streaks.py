from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from models.rain.streaks import (
    BOLD,
    COARSE,
    FAINT_LONG,
    FINE,
    MEDIUM,
    NEEDLES,
    SHEET,
    SLEET,
    SOFT,
    SPLASH,
    flat_line,
    procedural_layer,
    soft_line,
    splash_layer,
)
from tests.support.worlds.rainy import sample_rng

FAMILIES = {
    "fine": FINE,
    "medium": MEDIUM,
    "bold": BOLD,
    "faint_long": FAINT_LONG,
    "soft": SOFT,
    "sheet": SHEET,
    "splash": SPLASH,
    "coarse": COARSE,
    "sleet": SLEET,
    "needles": NEEDLES,
}
SIZE = (96, 120)


def layers(family: str, angle: float = 0.0, count: int = 6) -> Tensor:
    return procedural_layer(sample_rng(0, count), FAMILIES[family], torch.full((count,), angle), SIZE)


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_are_light_to_add(family):
    rendered = layers(family, count=24)
    assert rendered.shape == (24, 1, *SIZE)
    assert rendered.min() >= 0
    assert rendered.max() <= FAMILIES[family].brightness[1] + 1e-6
    assert rendered.mean() > 1e-4


def test_the_same_sample_has_the_same_streaks_in_any_company():
    alone = procedural_layer(sample_rng(3, 4), MEDIUM, torch.zeros(1), SIZE)
    torch.testing.assert_close(layers("medium")[3:4], alone, atol=1e-6, rtol=0)


def test_samples_differ():
    rendered = layers("fine")
    assert not torch.equal(rendered[0], rendered[1])


@pytest.mark.parametrize(
    ("angle", "shift"),
    [(0.0, (10, 0)), (math.pi / 2, (0, 10)), (math.pi / 4, (7, 7)), (-math.pi / 4, (7, -7))],
)
def test_streaks_run_along_the_angle(angle, shift):
    rendered = layers("medium", angle)[:, 0]
    along = self_similarity(rendered, shift)
    across = self_similarity(rendered, (-shift[1], shift[0]))
    assert along > across + 0.3


def self_similarity(rendered: Tensor, shift: tuple[int, int]) -> float:
    """Return the correlation of layers with themselves, shifted by rows and columns."""
    moved = torch.roll(rendered, shift, dims=(1, 2))
    return torch.corrcoef(torch.stack((rendered.flatten(), moved.flatten())))[0, 1].item()


def test_a_soft_line_has_its_length_width_and_peak():
    line = soft_line(torch.tensor([20.0]), torch.tensor([1.5]), torch.tensor([0.0]), (64, 64))[0]
    centred = torch.roll(line, (32, 32), dims=(0, 1))
    assert line[0, 0] == pytest.approx(1.0, abs=1e-5)
    assert line.argmax() == 0
    assert centred[32 + 10, 32].item() == pytest.approx(0.5, abs=0.01)  # half its length from the centre
    assert centred[32 + 16, 32] < 1e-3
    assert centred[32, 33].item() == pytest.approx(math.exp(-0.5 / 1.5**2), abs=1e-5)


def test_a_flat_line_is_even_and_ends_within_a_pixel():
    line = flat_line(torch.tensor([20.0]), torch.tensor([2.0]), torch.tensor([0.0]), (64, 64))[0]
    centred = torch.roll(line, (32, 32), dims=(0, 1))
    torch.testing.assert_close(
        centred[25:40, 32], torch.full((15,), centred[32, 32].item()), atol=1e-3, rtol=0
    )
    assert centred[32, 32] > 0.99
    assert centred[32, 34].item() == pytest.approx(0.5, abs=0.01)  # half its width from the middle
    assert centred[32, 36] < 0.01


def test_sheets_cover_no_more_than_their_share():
    rendered = layers("sheet", count=24)
    covered = (rendered > 0.3 * rendered.amax((1, 2, 3), keepdim=True)).double().mean()
    assert 0.05 < covered < 0.4


def test_splashes_lie_low():
    dots = splash_layer(sample_rng(0, 40), SIZE)
    assert dots[:, :, : SIZE[0] // 5].sum() == 0
    assert dots[:, :, -SIZE[0] // 5 :].mean() > 1e-3
