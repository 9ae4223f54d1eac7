"""Collectives of the processes that train one network, for callers without a Fabric."""

from __future__ import annotations

import torch
from torch import Tensor


def world_size() -> int:
    """Return the number of processes."""
    return torch.distributed.get_world_size() if _several() else 1


def rank() -> int:
    """Return the rank of this process, from 0."""
    return torch.distributed.get_rank() if _several() else 0


def all_mean(values: Tensor) -> Tensor:
    """Return the mean of the values of all processes; every process must call this."""
    if _several():
        torch.distributed.all_reduce(values)
    return values / world_size()


def _several() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
