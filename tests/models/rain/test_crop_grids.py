from __future__ import annotations

import torch

from models.rain.banks import bank_of
from models.rain.crop_grids import inner_grid
from tests.support.worlds.rainy import noise, sample_rng


def test_crops_lie_inside_layers_that_are_large_enough():
    bank = bank_of([noise(40, 60, 1), noise(16, 16, 1)])
    index = torch.tensor([0] * 20)
    grid = inner_grid(sample_rng(0, 20), bank, index, (torch.zeros(20), torch.ones(20)), (24, 32))
    assert grid.shape == (20, 24, 32, 2)
    assert grid.amin((0, 1, 2)).ge(0).all()
    assert grid[..., 0].max() <= 60
    assert grid[..., 1].max() <= 40
    assert len(grid[:, 0, 0].unique(dim=0)) > 10


def test_crops_larger_than_a_layer_lie_about_its_middle():
    bank = bank_of([noise(16, 20, 1)])
    grid = inner_grid(
        sample_rng(0, 4), bank, torch.zeros(4, dtype=torch.long), (torch.zeros(4), torch.ones(4)), (32, 32)
    )
    middle = (grid[:, 15:17, 15:17].mean((1, 2)) - torch.tensor([10.0, 8.0])).abs()
    assert middle.max() <= 1
