"""The rain layer of a photograph, averaged over the photograph and its mirror image (`mirrored_rain_layer`)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Derain = Callable[[Tensor], Tensor]
"""Derains (B, 3, H, W) floats in [0, 1]; returns the same shape."""


@torch.inference_mode()
def mirrored_rain_layer(derain: Derain, rainy: Tensor) -> Tensor:
    """Find the rain layer of one photograph; averaging removes differences between left and right.

    Parameters
    ----------
    derain : callable
        Network that takes and returns (B, 3, H, W) floats in [0, 1].
    rainy : Tensor
        (3, H, W) floats in [0, 1].

    Returns
    -------
    Tensor
        (3, H, W): rainy - derained.
    """
    upright, mirrored = rainy[None], rainy[None].flip(-1)
    layer = ((upright - derain(upright)) + (mirrored - derain(mirrored)).flip(-1)) / 2
    return layer[0]
