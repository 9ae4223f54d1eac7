"""Checks that the sizes in a config fit its weights (`require_fit`), before any memory is allocated.

A config and its weights may come from anywhere: a few bytes of JSON must not make a process allocate gigabytes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from models.networks.architectures import build_network
from models.networks.base import NetworkConfig

LARGEST_SIZE = 4096
"""Limit for channels, blocks and kernel sides, far above those of any network of this project."""
SMALL_SIZE = 64
"""Sizes up to this are always allowed, because they cost little."""


def require_plausible_sizes(sizes: Mapping[str, object], weights: Mapping[str, Tensor]) -> None:
    """Raise unless every size is a number, a flag, a word or a flat list of them, and small enough.

    A number of channels appears as a dimension of some weight, a number of blocks as a number of weights: no size
    can exceed both.

    Raises
    ------
    ValueError
        If a size is implausible; the message names it.
    """
    dimensions = [side for weight in weights.values() for side in weight.shape]
    largest = min(LARGEST_SIZE, max(SMALL_SIZE, len(weights), *dimensions))
    for name, value in sizes.items():
        parts = value if isinstance(value, list) else [value]
        if len(parts) > largest:
            raise ValueError(f"{name}: a list of {len(parts)}, but the weights allow {largest}")
        for part in parts:
            if isinstance(part, (bool, str)):
                continue
            if not isinstance(part, int) or not 0 <= part <= largest:
                raise ValueError(
                    f"{name}: {str(part)[:40]} is not a valid size: the weights allow 0 to {largest}"
                )


def require_fit(config: NetworkConfig, weights: Mapping[str, Tensor]) -> None:
    """Raise unless a network of these sizes has exactly these weights; allocate no memory for another set.

    Raises
    ------
    ValueError
        If a weight is missing, surplus, of another shape, or not finite; the message names it.
    """
    with torch.device("meta"):
        expected = {name: weight.shape for name, weight in build_network(config).state_dict().items()}
    if unpaired := sorted(expected.keys() ^ weights.keys()):
        raise ValueError(
            f"{unpaired[0]} is {'missing' if unpaired[0] in expected else 'not part of the network'}"
        )
    for name, weight in weights.items():
        if weight.shape != expected[name]:
            raise ValueError(f"{name} is {tuple(weight.shape)} instead of {tuple(expected[name])}")
        if not weight.isfinite().all():
            raise ValueError(f"{name} is not finite: it holds NaN or infinity")
