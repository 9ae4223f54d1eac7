"""Conversion of photographs between arrays and tensors, in both directions."""

from __future__ import annotations

import numpy as np
import torch

from models.images import to_floats, to_rgb


def test_there_and_back_nothing_changes():
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    floats = to_floats(rgb)
    assert floats.shape == (3, 5, 7)
    assert floats.dtype == torch.float32
    assert float(floats.max()) <= 1
    np.testing.assert_array_equal(to_rgb(floats), rgb)


def test_values_out_of_range_are_clipped():
    picture = torch.tensor([-0.5, 0.5, 1.5]).reshape(3, 1, 1)
    assert to_rgb(picture).tolist() == [[[0, 128, 255]]]


def test_a_read_only_array_is_copied():
    rgb = np.zeros((2, 2, 3), np.uint8)
    rgb.flags.writeable = False
    floats = to_floats(rgb)
    floats += 1
    assert rgb.max() == 0
