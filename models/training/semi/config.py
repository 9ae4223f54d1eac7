"""Configuration of semi-supervised training (`SemiConfig`): its loss terms and their weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from models.training.ranges import COUNT, NOT_NEGATIVE, check_ranges


@dataclass(frozen=True, slots=True)
class SemiConfig:
    """Weights of the terms of `models.training.semi.objective.SemiSupervised`; a weight of 0 switches a term off.

    The formulas of Semi-DRDNet's paper (arXiv 2204.02772) could not be obtained: terms and numbers are a
    reconstruction from related methods, which the fields name. Our own terms that measured no gain are in
    `benchmarks.rejected.fine_tuning_terms`.
    """

    rerain: float = 1.0
    """PSNR of clean photographs under real streaks: `models.rain.real_streaks`. Ours, after RainMix (AAAI 2021).
    With L1 instead, bold streaks dominated, and light rain was forgotten."""
    rerain_share: float = 0.5
    """Share of the labelled batch that gets real streaks instead of rendered ones."""
    temporal: float = 1.0
    """PSNR to the trusted pixels of temporal backgrounds, if there are any (made like SPA-Data, CVPR 2019); the
    weight is ours."""
    streak_contrast: float = 0.0
    """Dual sample-augmented contrast, streaks: `models.training.semi.contrast.StreakContrast`. A share: the norm of
    its gradient at the derained photographs relative to that of re-rain (`models.training.semi.gradient_share`)."""
    background_contrast: float = 0.0
    """Dual sample-augmented contrast, backgrounds:
    `models.training.semi.contrast.background_ratio`; also a share."""
    watch_every: int = 10
    """Number of steps between two looks of `models.training.semi.collapse`."""

    def __post_init__(self) -> None:
        """Check the settings.

        Raises
        ------
        ValueError
            If a setting is invalid; the message names it and its limits.
        """
        values = asdict(self)
        check_ranges(values, {**dict.fromkeys(values, NOT_NEGATIVE), "watch_every": COUNT})
        if self.has_contrast and not self.rerain:
            raise ValueError(
                "streak_contrast and background_contrast are shares of re-rain: rerain must be more than 0"
            )
        if self.rerain_share >= 1:
            raise ValueError(
                f"rerain_share {self.rerain_share}: must be less than 1, so that labelled crops are left"
            )

    @property
    def has_contrast(self) -> bool:
        """Whether any contrast is on."""
        return self.streak_contrast > 0 or self.background_contrast > 0
