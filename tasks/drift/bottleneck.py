"""What a network sees in a photograph, in a few numbers: the means of its coarsest features."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NoBottleneck(ValueError):
    """The network has no part called `middle`."""


@torch.inference_mode()
def bottleneck_features(network: nn.Module, rainy: Tensor) -> Tensor:
    """Return the mean of every channel that comes out of a network's `middle`.

    Parameters
    ----------
    network : nn.Module
        An encoder-decoder of ours; it is left as it is.
    rainy : Tensor
        (B, 3, H, W), floats in [0, 1].

    Returns
    -------
    Tensor
        (B, C) float32.

    Raises
    ------
    NoBottleneck
        If it is a network of another kind.
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
