"""Rain found at several sizes, which the benchmark of pseudo-label scores compares with one size."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.rejected.multi_scale import MultiScaleRules, multi_scale_rain_layer
from models.pseudo_labels.tta import mirrored_rain_layer

SIDE = 96


def test_rain_found_at_a_smaller_size_alone_is_taken_if_it_is_elongated():
    """A network that only knows streaks of up to two pixels finds wider ones at half size."""
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    wide = 0.3 * ((columns % 32 < 4) & (rows % 48 < 30)).float().expand(3, -1, -1)

    def knows_small(rainy: Tensor) -> Tensor:
        if rainy.shape[-1] == SIDE:
            return rainy
        return rainy - torch.nn.functional.interpolate(wide[None], rainy.shape[-2:], mode="area")

    found = multi_scale_rain_layer(knows_small, 0.3 + wide, MultiScaleRules(least_elongation=0.3))
    assert not mirrored_rain_layer(knows_small, 0.3 + wide).any()
    inside = wide[:, 5:25, 12:-12] > 0
    assert float(found[:, 5:25, 12:-12][inside].mean()) > 0.4 * float(wide[:, 5:25, 12:-12][inside].mean())
