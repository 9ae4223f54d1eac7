"""Configuration of semi-supervised training (`SemiConfig`): its loss terms and their weights."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class SemiConfig:
    """Weights of the terms of `models.training.semi.objective.SemiSupervised`; a weight of 0 switches a term off.

    The paper that Semi-DRDNet comes from (arXiv 2204.02772) gives no formulas that could be obtained: terms and
    numbers are a reconstruction from neighbouring methods, which the fields name. Terms of ours that were measured
    not to pay are in `benchmarks.rejected.fine_tuning_terms`.
    """

    rerain: float = 1.0
    """PSNR of clean photographs under real streaks: `models.rain.real_streaks`. Ours, after RainMix (AAAI 2021).
    With L1 in its place bold streaks outweighed all else, and light rain was forgotten."""
    rerain_share: float = 0.5
    """Share of the labelled batch that real streaks fall on, instead of rendered ones."""
    temporal: float = 1.0
    """PSNR to temporal backgrounds where they are trusted, if there are any (as SPA-Data, CVPR 2019, was made);
    weight ours."""
    streak_contrast: float = 0.0
    """Dual sample-augmented contrast, streaks: `models.training.semi.contrast.StreakContrast`. The share of its
    gradient at the derained photographs in that of re-rain: `models.training.semi.gradient_share`."""
    background_contrast: float = 0.0
    """Dual sample-augmented contrast, backgrounds:
    `models.training.semi.contrast.background_ratio`; a share too."""
    watch_every: int = 10
    """Steps between two looks of `models.training.semi.collapse`."""

    def __post_init__(self) -> None:
        """Refuse what nothing could be minimised with.

        Raises
        ------
        ValueError
            Names the setting and its limits.
        """
        for name, value in asdict(self).items():
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} {value}: a weight or share is 0 or more")
        if self.has_contrast and not self.rerain:
            raise ValueError(
                "streak_contrast and background_contrast are shares of re-rain: rerain is more than 0"
            )
        if self.rerain_share >= 1:
            raise ValueError(f"rerain_share {self.rerain_share}: less than 1, or nothing labelled is left")
        if self.watch_every < 1:
            raise ValueError(f"watch_every {self.watch_every}: at least 1 step")

    @property
    def has_contrast(self) -> bool:
        """Whether any contrast is on."""
        return self.streak_contrast > 0 or self.background_contrast > 0
