"""Short trainings that compare networks on the same batches (`trained`), with a budget of seconds or of steps."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from models.engine import fast_dtype
from models.evaluation.validation import ValidationScore, ValidationSet, validate
from models.networks.base import Network
from models.networks.losses import Reconstruction, psnr_terms
from models.pairs import RainyPair
from models.rain.banks import TrainingData
from models.rain.recipes import RECIPES
from models.rain.synthesis import training_pairs
from models.rng import SampleRng

LEARNING_RATE = 1e-3
EMA = 0.99
WARM_UP = 0.1
"""Share of the budget in which the learning rate rises; it falls to 0 in the second half."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Limit of each training: processor seconds of one thread, or optimiser steps."""

    seconds: float = float("inf")
    steps: int = 1_000_000_000
    batch: int = 16
    crop: int = 128

    def used(self, seconds: float, steps: int) -> float:
        """Return the share of the budget that is used."""
        return max(seconds / self.seconds, steps / self.steps)


def trained(
    network: Network,
    name: str,
    data: TrainingData,
    budget: Budget,
    optimizer: torch.optim.Optimizer | None = None,
) -> tuple[nn.Module, int]:
    """Train a network, with AdamW by default; return its averaged weights and the number of steps.

    The learning rates rise during the warm-up and fall to 0 over the second half.
    """
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(EMA))  # type: ignore[no-untyped-call]
    if optimizer is None:
        optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=1e-5, fused=True)
    peaks = [group["lr"] for group in optimizer.param_groups]
    started, steps, used = time.process_time(), 0, 0.0
    with tqdm(total=100, desc=name, unit="%", mininterval=5) as progress:
        while used < 1:
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * min(used / WARM_UP, 1.0, 2 * (1 - used))
            pair = _batch(data, budget, steps)
            _step(network, optimizer, pair, psnr_terms if used >= WARM_UP else None)
            average.update_parameters(network)
            steps += 1
            used = budget.used(time.process_time() - started, steps)
            progress.update(round(100 * min(used, 1.0)) - progress.n)
    return average.module.eval(), steps


def _batch(data: TrainingData, budget: Budget, step: int) -> RainyPair:
    samples = torch.arange(step * budget.batch, (step + 1) * budget.batch)
    return training_pairs(data, SampleRng(1, samples), RECIPES["mixed"], budget.crop)


def _step(
    network: Network,
    optimizer: torch.optim.Optimizer,
    pair: RainyPair,
    reconstruction: Reconstruction | None,
) -> None:
    with autocast():
        loss: Tensor = torch.stack(list(network.loss_terms(pair, reconstruction).values())).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
    optimizer.step()
    optimizer.zero_grad()


def autocast() -> torch.autocast:
    """Compute in bf16 if the processor does, as trainings and the engine would."""
    is_fast = fast_dtype(torch.device("cpu")) == torch.bfloat16
    return torch.autocast("cpu", torch.bfloat16, enabled=is_fast)


def scored(network: nn.Module, pairs: ValidationSet) -> ValidationScore:
    """Score a network in the precision in which it would run."""
    with autocast():
        return validate(network.eval(), pairs)
