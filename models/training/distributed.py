"""The processes that train one network together, where the caller has no Fabric."""

from __future__ import annotations

import torch
from torch import Tensor


def world_size() -> int:
    """Return how many there are."""
    return torch.distributed.get_world_size() if _several() else 1


def rank() -> int:
    """Return the number of this one, from 0."""
    return torch.distributed.get_rank() if _several() else 0


def all_mean(values: Tensor) -> Tensor:
    """Return the mean of all processes' values; every one of them must ask."""
    if _several():
        torch.distributed.all_reduce(values)
    return values / world_size()


def _several() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
