from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import maximum_filter
from skimage import data as photographs

from models.evaluation.probe_layers import text
from models.rain.banks import sample
from models.rain.streak_mining import (
    StreakBankEmpty,
    StreakRules,
    harvest_streaks,
    measure_streaks,
    rain_layer,
    streak_bank,
)
from models.rain.streaks import BOLD, FINE, MEDIUM, NEEDLES, SHEET, StreakFamily, procedural_layer
from tests.support.worlds.rainy import sample_rng

SIDE = 96
RULES = StreakRules(side=SIDE)


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    return photographs.coffee()[:SIDE, 200 : 200 + SIDE].astype(np.float32) / 255


def streaks(family: StreakFamily, angle: float, seed: int = 0) -> np.ndarray:
    layer = procedural_layer(sample_rng(seed, seed + 1), family, torch.tensor([angle]), (SIDE, SIDE))
    return layer[0, 0, :, :, None].numpy()


def rained_on(clean: np.ndarray, layer: np.ndarray) -> np.ndarray:
    return np.clip(clean + layer, 0, 1)


@pytest.mark.parametrize("angle", [-0.6, 0.0, 0.4])
@pytest.mark.parametrize("family", [FINE, MEDIUM, BOLD, SHEET, NEEDLES])
def test_planted_streaks_are_accepted_as_they_are(clean, family: StreakFamily, angle: float):
    layer = streaks(family, angle, seed=3)
    layer = layer * max(0.5, 0.002 / layer.mean())
    harvest = harvest_streaks([rained_on(clean, layer)], [clean], RULES)
    (window,) = harvest.windows
    assert window.reason == ""
    found = rain_layer(rained_on(clean, layer), clean).numpy()
    near = maximum_filter(found > RULES.floor, 5)  # the skirts of a streak are kept, and fade as photographed
    np.testing.assert_allclose(window.layer / 255, np.where(near, found, 0), atol=0.51 / 255)
    assert window.figures.angle == pytest.approx(
        angle, abs=0.3
    )  # thin streaks seem steeper: pixels are square


def noise(clean: np.ndarray) -> np.ndarray:
    return clean + 0.1 * np.random.default_rng(0).standard_normal(clean.shape)


def blurred(clean: np.ndarray) -> np.ndarray:
    planes = torch.from_numpy(clean).permute(2, 0, 1)[None]
    return torch.nn.functional.avg_pool2d(planes, 5, 1, 2)[0].permute(1, 2, 0).numpy()


def signs(clean: np.ndarray) -> np.ndarray:
    layer = sum(text(sample_rng(number, number + 1), (SIDE, SIDE)).abs() for number in range(8))
    return clean + 0.3 * layer.permute(1, 2, 0).numpy()


def dots(clean: np.ndarray) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE] % 16 - 8
    return clean + 0.5 * np.exp(-(rows**2 + columns**2) / 8)[..., None]


def crossing(clean: np.ndarray) -> np.ndarray:
    layer = streaks(NEEDLES, 0.8, seed=2)
    return clean + layer + np.rot90(layer)


def edges(clean: np.ndarray) -> np.ndarray:
    """Act as a network that mistakes bright edges, such as fences, for rain and leaves half of them."""
    lines = np.zeros_like(clean)
    lines[:, 5::16] = 0.3
    return clean + lines


NOT_RAIN: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "noise": (noise, "not elongated"),
    "dots": (dots, "not elongated"),
    "signs": (signs, "of many directions"),
    "crossing": (crossing, "of many directions"),
    "nothing": (lambda clean: clean, "no rain found"),
    "darker": (lambda clean: clean - 0.1, "no rain found"),
}


@pytest.mark.parametrize("name", NOT_RAIN)
def test_layers_that_are_not_rain_are_refused_with_a_reason(clean, name: str):
    plant, reason = NOT_RAIN[name]
    harvest = harvest_streaks([plant(clean).clip(0, 1).astype(np.float32)], [clean], RULES)
    assert harvest.refused == {reason: 1}
    assert harvest.layers == ()
    with pytest.raises(StreakBankEmpty, match=f"1 {reason}"):
        harvest.split()


def test_layers_that_a_blur_removes_are_refused(clean):
    """A network that smooths instead of deraining must not fill the bank with the scene."""
    assert harvest_streaks([clean], [blurred(clean)], RULES).layers == ()


def test_edges_that_are_still_in_the_background_are_refused(clean):
    upright = edges(clean * 0.5).astype(np.float32)
    half = (clean * 0.5 + upright) / 2
    assert harvest_streaks([upright], [half], RULES).refused == {"edges of the scene": 1}


@pytest.mark.parametrize(("strength", "refused"), [(0.1, {"noise": 1}), (1.0, {})])
def test_streaks_found_in_noise_are_believed_only_where_they_stand_out(
    strength: float, refused: dict[str, int]
):
    """Networks find faint streaks of one direction in pure noise."""
    grain = 0.3 + 0.1 * np.random.default_rng(0).standard_normal((SIDE, SIDE, 3)).astype(np.float32)
    layer = strength * streaks(SHEET, 0.2)
    assert harvest_streaks([rained_on(grain, layer)], [grain], RULES).refused == refused


def test_windows_are_judged_apart(clean):
    rainy = np.concatenate([rained_on(clean, streaks(SHEET, 0.2)), clean], axis=1)
    derained = np.concatenate([clean, clean], axis=1)
    first, second = harvest_streaks([rainy], [derained], RULES).windows
    assert (first.left, first.reason) == (0, "")
    assert (second.left, second.reason) == (SIDE, "no rain found")


def test_bytes_and_floats_give_the_same(clean):
    derained = (clean * 255).round().astype(np.uint8)
    rainy = (rained_on(clean, streaks(SHEET, 0.2)) * 255).round().astype(np.uint8)
    of_bytes = harvest_streaks([rainy], [derained], RULES)
    of_floats = harvest_streaks([rainy / np.float32(255)], [derained / np.float32(255)], RULES)
    assert len(of_bytes.layers) == 1
    np.testing.assert_array_equal(of_bytes.layers[0], of_floats.layers[0])


def test_a_bank_gives_its_layers_back(clean):
    layer = harvest_streaks([rained_on(clean, streaks(SHEET, 0.2))], [clean], RULES).layers[0]
    bank = streak_bank([layer, layer[:40, :50]])
    assert len(bank) == 2
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(50.0), indexing="ij")
    again = sample(bank, torch.tensor([1]), torch.stack((columns, rows), dim=-1)[None])
    np.testing.assert_array_equal(again[0, 0].mul(255).round().numpy(), layer[:40, :50])


def test_a_photograph_smaller_than_a_window_is_one(clean):
    (window,) = harvest_streaks([clean[:40, :50]], [clean[:40, :50]], RULES).windows
    assert window.reason == "no rain found"


def test_other_sizes_are_refused(clean):
    with pytest.raises(ValueError, match="differ in size"):
        rain_layer(clean, clean[:-1])
    with pytest.raises(ValueError, match="zip"):
        harvest_streaks([clean], [])


def test_the_direction_is_that_of_the_streaks():
    for angle in (-0.5, 0.0, 0.5):
        figures = measure_streaks(torch.from_numpy(streaks(SHEET, angle)[..., 0]), torch.zeros(SIDE, SIDE))
        assert figures.angle == pytest.approx(angle, abs=0.08)
        assert figures.edges == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 2)])
def test_a_line_of_pixels_has_no_streaks(size: tuple[int, int]):
    line = np.zeros((*size, 3), np.uint8)
    assert [
        window.layer for window in harvest_streaks([line], [line]).windows if window.layer is not None
    ] == []
