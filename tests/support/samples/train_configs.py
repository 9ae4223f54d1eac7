"""Configurations of trainings that take seconds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from models.training.config import TrainConfig

_BRIEF = TrainConfig(
    preset="student-tiny",
    steps=4,
    batch=4,
    crop=32,
    warm_up=2,
    finish=0.34,
    validate_every=2,
    validation_photographs=1,
    save_seconds=0.0,
    precision="32-true",
)


def brief_training(**changes: Any) -> TrainConfig:
    """Return a training of four steps that saves after each step, with these changes."""
    return replace(_BRIEF, **changes)
