"""How large the stages of a retraining are."""

from __future__ import annotations

from dataclasses import dataclass

from infra.tracking.registry import CHAMPION_URL
from tasks.training.request import preset_named


@dataclass(frozen=True, slots=True)
class Sizes:
    """Presets of the stages that train."""

    finetune: str
    teacher: str
    """The model that is fine-tuned."""
    distill: str
    distill_steps: int
    new_crops: int | None = None
    """Most that are judged; None: all."""


PRESETS = {
    # No network that ships leads the student: what is fine-tuned is the champion itself.
    "smoke": Sizes("smoke", CHAMPION_URL, "smoke", 60, new_crops=60),
    "cpu": Sizes("slim", CHAMPION_URL, "base", 6_000),
    "gpu": Sizes("mid", CHAMPION_URL, "base", 40_000),
}


def sizes_of(preset: str) -> Sizes:
    """Return the sizes of a preset.

    Raises
    ------
    PreflightFailed
        If there is no such preset; lists those that there are.
    """
    return preset_named(PRESETS, preset)
