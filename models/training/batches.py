"""Labelled batches of a training (`Batches`): determined by the step, and rendered ahead if a core is idle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import MappingProxyType, TracebackType
from typing import Any, Self

import torch
from lightning_fabric import Fabric

from models.pairs import RainyPair
from models.rain.banks import TrainingData
from models.rain.recipes import RECIPES
from models.rain.synthesis import training_pairs
from models.rng import SampleRng
from models.training.config import TrainConfig

_Request = tuple[int, Mapping[str, float]]


def batch_of(
    fabric: Fabric,
    config: TrainConfig,
    data: TrainingData,
    number: int,
    shares: Mapping[str, float] = MappingProxyType({}),
) -> RainyPair:
    """Render the batch of this process at a step; every call for a step returns the same batch.

    Parameters
    ----------
    fabric, config, data
        Fabric, hyper-parameters and data of the training.
    number : int
        Number of the step, from 0.
    shares : mapping
        Shares that replace those of the recipe, by the names of `RainRecipe`.
    """
    scale = 2 if config.finishing(number) else 1
    batch, crop = max(1, config.batch // scale**2), config.crop * scale
    first = (number * fabric.world_size + fabric.global_rank) * batch
    samples = torch.arange(first, first + batch, device=data.photographs.pixels.device)
    recipe = replace(RECIPES[config.recipe], **dict[str, Any](shares))
    return training_pairs(data, SampleRng(config.seed, samples), recipe, crop)


def has_spare_core(device: torch.device) -> bool:
    """Return whether steps on a device leave a core of this machine idle."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return device.type == "cuda" or torch.get_num_threads() < cores


class Batches:
    """Render the next batch in a thread during a step if a core is idle; a context manager.

    The random numbers depend on the step alone, so the contents of a batch do not depend on the thread.

    Parameters
    ----------
    fabric, config, data
        Fabric, hyper-parameters and data of the training.
    ahead : bool, optional
        Whether to render ahead; by default if a core is idle. A thread without a core slows the steps by more
        than it saves (`benchmarks/results/training_step.csv`).
    """

    def __init__(
        self, fabric: Fabric, config: TrainConfig, data: TrainingData, ahead: bool | None = None
    ) -> None:
        self._source = (fabric, config, data)
        self._renders_ahead = has_spare_core(data.photographs.pixels.device) if ahead is None else ahead
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="render")
        self._ahead: tuple[_Request, Future[RainyPair]] | None = None

    def __enter__(self) -> Self:
        """Return the batches."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the batch that is being rendered."""
        self._thread.shutdown(cancel_futures=True)

    def take(self, number: int, shares: Mapping[str, float] = MappingProxyType({})) -> RainyPair:
        """Return the batch of a step, as `batch_of` does, and begin to render the next one if a core is idle."""
        if self._ahead is not None and self._ahead[0] == (number, shares):
            pair = self._ahead[1].result()
        else:  # the first step, or the first one after a validation that shifted the shares
            pair = batch_of(*self._source, number, shares)
        if not self._renders_ahead:
            return pair
        following = self._thread.submit(batch_of, *self._source, number + 1, shares)
        self._ahead = ((number + 1, shares), following)
        return pair
