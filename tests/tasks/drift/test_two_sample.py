"""The two-sample test compared with its formula, its level and power, and Holm's correction with the textbook."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.networks.student import PRESETS, Student
from tasks.drift.bottleneck import NoBottleneck, bottleneck_features
from tasks.drift.two_sample import energy_test, holm


def test_the_distance_is_that_of_the_formula() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(7, 3)), generator.normal(1, 2, size=(5, 3))
    scale = np.concatenate([first, second]).std(axis=0)

    def mean(one: np.ndarray, other: np.ndarray) -> float:
        return float(np.mean([np.linalg.norm((a - b) / scale) for a in one for b in other]))

    expected = 2 * mean(first, second) - mean(first, first) - mean(second, second)
    assert energy_test(first, second, permutations=9).distance == pytest.approx(expected)


def test_alarms_are_false_as_often_as_is_asked_for() -> None:
    generator = np.random.default_rng(1)
    p_values = [
        energy_test(generator.normal(size=(20, 2)), generator.normal(size=(12, 2)), permutations=99).p_value
        for _ in range(300)
    ]
    assert 0.02 <= np.mean(np.array(p_values) <= 0.05) <= 0.09


def test_a_shift_and_a_spread_are_found() -> None:
    generator = np.random.default_rng(2)
    base = generator.normal(size=(40, 2))
    assert energy_test(base, generator.normal(1, 1, size=(40, 2))).p_value < 0.01
    assert energy_test(base, generator.normal(0, 3, size=(40, 2))).p_value < 0.01


def test_observations_of_one_unit_are_one_piece_of_evidence() -> None:
    generator = np.random.default_rng(3)
    false_alarms = {"observations": 0, "units": 0}
    for _ in range(60):
        levels = generator.normal(size=(16, 1, 1))  # one per camera
        first, second = (
            levels[half] + 0.1 * generator.normal(size=(8, 10, 1)) for half in (slice(8), slice(8, 16))
        )
        names = [str(number // 10) for number in range(80)]
        samples = first.reshape(80, 1), second.reshape(80, 1)
        false_alarms["observations"] += energy_test(*samples, permutations=99).p_value <= 0.05
        found = energy_test(*samples, units=(names, names), permutations=99)
        false_alarms["units"] += found.p_value <= 0.05
        assert (found.reference_units, found.newest_units) == (8, 8)
    assert false_alarms["units"] <= 8 < 20 < false_alarms["observations"]


def test_equal_samples_give_no_evidence_and_a_constant_figure_does_no_harm() -> None:
    same = np.array([[1.0, 5.0]] * 6)
    assert energy_test(same, same, permutations=99).p_value == 1.0
    with pytest.raises(ValueError, match="0 and 6"):
        energy_test(same[:0], same)
    with pytest.raises(ValueError, match="finite"):
        energy_test(same, same * np.nan)


def test_holm_steps_down() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_bottleneck_features_are_means_of_the_middle() -> None:
    network = Student(PRESETS["tiny"]).eval()
    rainy = torch.rand(3, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    features = bottleneck_features(network, rainy)
    assert features.shape == (3, PRESETS["tiny"].widths[-1])
    torch.testing.assert_close(bottleneck_features(network, rainy[1:2])[0], features[1])
    assert not network.middle._forward_hooks
    with pytest.raises(NoBottleneck, match="Identity"):
        bottleneck_features(torch.nn.Identity(), rainy)
