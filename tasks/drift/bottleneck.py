"""Bottleneck features of a network (`bottleneck_features`): the channel means of its coarsest feature maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NoBottleneck(ValueError):
    """Raised if a network has no submodule `middle`."""


@torch.inference_mode()
def bottleneck_features(network: nn.Module, rainy: Tensor) -> Tensor:
    """Return the mean of every output channel of a network's `middle`.

    Parameters
    ----------
    network : nn.Module
        An encoder-decoder of this project; it is not changed.
    rainy : Tensor
        (B, 3, H, W), floats in [0, 1].

    Returns
    -------
    Tensor
        (B, C) float32.

    Raises
    ------
    NoBottleneck
        If the network has no submodule `middle`.
    """
    middle = getattr(network, "middle", None)
    if not isinstance(middle, nn.Module):
        raise NoBottleneck(f"{type(network).__name__} has no bottleneck")
    seen: list[Tensor] = []
    hook = middle.register_forward_hook(lambda module, given, found: seen.append(found))
    try:
        network(rainy)
    finally:
        hook.remove()
    return seen[0].float().mean(dim=(2, 3))
