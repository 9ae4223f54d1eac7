"""A training that diverges stops, and keeps the best weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.evaluation.validation import KINDS, ValidationScore, ValidationSet
from models.modelfile import read_model_file
from models.pairs import RainyPair
from models.training.config import TrainConfig
from models.training.divergence import Diverged
from models.training.objectives import Supervised
from tests.support.worlds.trainings import (
    SIX_STEPS,
    interrupted,
    trained,
)


class Worse(Supervised):
    """An objective whose loss a parameter can make infinite, and whose scores fall."""

    def __init__(self, broken_at: int | None = None) -> None:
        super().__init__()
        self.broken_at = broken_at
        self.register_buffer("judged", torch.zeros(()))

    def forward(self, network: Any, config: TrainConfig, step: int, pair: RainyPair) -> dict[str, Tensor]:
        terms = super().forward(network, config, step, pair)
        return {name: term * float("nan") if step == self.broken_at else term for name, term in terms.items()}

    def score(self, network: nn.Module, pairs: ValidationSet) -> ValidationScore:
        self.judged += 1
        kinds = 30 - self.judged.item()
        return ValidationScore(**dict.fromkeys(KINDS, kinds))


def test_a_loss_that_is_not_finite_stops_the_training_and_is_in_no_checkpoint(data: Path, out: Path):
    with pytest.raises(Diverged, match=r"step 5: not finite: psnr; training stopped, the best"):
        trained(SIX_STEPS, data, out, Worse(broken_at=4))
    kept = torch.load(out / "checkpoint.pt", weights_only=True)
    assert kept["step"] == 4
    assert (out / "student-tiny.safetensors").exists()


def test_a_score_that_keeps_falling_stops_the_training(data: Path, out: Path):
    config = replace(SIX_STEPS, steps=40, validate_every=2, patience=3)
    with pytest.raises(Diverged, match=r"step 8: the validation score has fallen 3 times in a row"):
        trained(config, data, out, Worse())
    assert b'"step": 2' in read_model_file(out / "student-tiny.safetensors").config


def test_falls_are_counted_across_a_resume(data: Path, out: Path):
    config = replace(SIX_STEPS, steps=40, validate_every=2, patience=3)
    interrupted(config, data, out, 5, Worse())
    with pytest.raises(Diverged, match=r"step 8: .* 3 times"):
        trained(config, data, out, Worse())
