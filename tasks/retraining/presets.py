"""Presets of a retraining (`sizes_of`): the sizes of its steps."""

from __future__ import annotations

from dataclasses import dataclass

from infra.tracking.registry import CHAMPION_URL
from tasks.training.request import preset_named


@dataclass(frozen=True, slots=True)
class Sizes:
    """Presets of the training steps."""

    finetune: str
    teacher: str
    """Model to fine-tune."""
    distill: str
    distill_steps: int
    new_crops: int | None = None
    """Largest number of crops to judge; None: all."""


PRESETS = {
    # No shipped network is better than the student, so the champion is fine-tuned.
    "smoke": Sizes("smoke", CHAMPION_URL, "smoke", 60, new_crops=60),
    "cpu": Sizes("slim", CHAMPION_URL, "base", 6_000),
    "gpu": Sizes("mid", CHAMPION_URL, "base", 40_000),
}


def sizes_of(preset: str) -> Sizes:
    """Return the sizes of a preset.

    Raises
    ------
    PreflightFailed
        If there is no such preset; the message lists the existing ones.
    """
    return preset_named(PRESETS, preset)
