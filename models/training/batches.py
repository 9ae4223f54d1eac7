"""Labelled batches of a training: the same at a step whenever asked for, rendered in a thread one step ahead."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch
from lightning_fabric import Fabric

from models.pairs import RainyPair
from models.rain.banks import TrainingData
from models.rain.recipes import RECIPES
from models.rain.synthesis import training_pairs
from models.rng import SampleRng
from models.training.config import TrainConfig


def batch_of(fabric: Fabric, config: TrainConfig, data: TrainingData, number: int) -> RainyPair:
    """Render the batch that a process takes at a step; the same whenever it is asked for."""
    scale = 2 if config.finishing(number) else 1
    batch, crop = max(1, config.batch // scale**2), config.crop * scale
    first = (number * fabric.world_size + fabric.global_rank) * batch
    samples = torch.arange(first, first + batch, device=data.photographs.pixels.device)
    return training_pairs(data, SampleRng(config.seed, samples), RECIPES[config.recipe], crop)


class Batches:
    """Render the next batch in a thread while a step is taken; used as a context.

    Rendering takes a sixth to a third of a step of the students, which a second core can take over. The numbers
    that rain is drawn from depend on the step alone, so what a batch holds does not depend on the thread.
    """

    def __init__(self, fabric: Fabric, config: TrainConfig, data: TrainingData) -> None:
        self._source = (fabric, config, data)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="render")
        self._ahead: tuple[int, Future[RainyPair]] | None = None

    def __enter__(self) -> Batches:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the batch in the making."""
        self._thread.shutdown(cancel_futures=True)

    def take(self, number: int) -> RainyPair:
        """Return the batch of a step and begin to render the next one."""
        if self._ahead is not None and self._ahead[0] == number:
            pair = self._ahead[1].result()
        else:
            pair = batch_of(*self._source, number)
        self._ahead = (number + 1, self._thread.submit(batch_of, *self._source, number + 1))
        return pair
