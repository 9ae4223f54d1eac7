"""Recipes of rain (`RainRecipe`, `RECIPES`) for training, validation and evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from models.rain.streaks import (
    BOLD,
    COARSE,
    DENSE,
    FAINT_LONG,
    FINE,
    MEDIUM,
    NEEDLES,
    SHEET,
    SLEET,
    SOFT,
    StreakFamily,
)

Families = tuple[tuple[StreakFamily, float], ...]
"""Procedural families, each with the probability that a sample has a layer of it."""


@dataclass(frozen=True, slots=True)
class RainRecipe:
    """Shares of the kinds of rain in a batch; the remainder are identity pairs."""

    recorded: float = 0.0
    """A recorded layer, unchanged, on the photograph that it was recorded for or on another one."""
    bank: float = 0.0
    """Layers of the streak bank, rotated, rescaled, scaled in brightness and summed."""
    procedural: float = 0.0
    """Procedural streaks, some with splashes."""
    both: float = 0.0
    """Bank and procedural streaks together: the heaviest rain."""
    drops: float = 0.0
    """Raindrops on the lens."""
    faint: float = 0.0
    """Dense faint streaks alone (`FAINT`), as of distant rain in mist."""
    families: Families = (
        (FINE, 1.0),
        (MEDIUM, 0.5),
        (BOLD, 0.5),
        (FAINT_LONG, 0.5),
        (SOFT, 0.5),
        (SHEET, 0.3),
        (SHEET, 0.2),
    )
    """Families of the procedural streaks."""
    camera: bool = False
    """Whether exposure, mist, noise, focus, JPEG and rain-like content are added to both sides of unrecorded
    rain."""
    processed: bool = False
    """Whether both sides of unrecorded rain are processed as photographs are; see `models.rain.processing`."""
    veil: bool = False
    """Whether mist is on the rainy side alone, so that networks learn to remove it."""

    @property
    def shares(self) -> tuple[float, ...]:
        """Shares in the order in which kinds are numbered."""
        return (self.recorded, self.bank, self.procedural, self.both, self.drops, self.faint)


WITH_SPARSE = (
    (FINE, 0.6),
    (MEDIUM, 0.7),
    (BOLD, 0.5),
    (FAINT_LONG, 0.5),
    (SOFT, 0.5),
    (SHEET, 0.3),
    (SHEET, 0.2),
)
"""Families of the training recipe: 40 % of the samples lack dense fine rain, so that sparse streaks also occur
alone, as in many real photographs."""

FAINT = ((DENSE, 1.0), (DENSE, 0.4), (FINE, 0.4), (FAINT_LONG, 0.3))
"""Families of faint rain: without bold streaks in front, which would matter more to the loss."""

RECIPES = {
    "mixed": RainRecipe(
        recorded=0.25,
        bank=0.15,
        procedural=0.13,
        both=0.18,
        drops=0.04,
        faint=0.15,
        families=WITH_SPARSE,
        camera=True,
        processed=True,
    ),
    "light": RainRecipe(recorded=1.0),
    "heavy": RainRecipe(both=1.0),
    "fine": RainRecipe(
        procedural=1.0, families=((FINE, 1.0), (SOFT, 0.7), (FAINT_LONG, 0.5), (MEDIUM, 0.3)), camera=True
    ),
    "faint": RainRecipe(faint=1.0, camera=True, processed=True),
    "drops": RainRecipe(procedural=0.2, drops=0.7, camera=True),
    "veil": RainRecipe(recorded=0.2, bank=0.2, procedural=0.3, both=0.2, camera=True, veil=True),
    "none": RainRecipe(),
    "none-clutter": RainRecipe(camera=True),
}
"""Named recipes: shipped networks are trained on `mixed`, and the kinds of rain in validation have their own."""

HELD_OUT_RECIPES = {
    "coarse": RainRecipe(procedural=1.0, families=((COARSE, 1.0), (COARSE, 0.5))),
    "sleet": RainRecipe(procedural=1.0, families=((SLEET, 1.0), (SLEET, 0.5))),
    "needles": RainRecipe(procedural=1.0, families=((NEEDLES, 1.0), (NEEDLES, 0.5))),
}
"""Rain of the held-out families, for evaluation only."""
