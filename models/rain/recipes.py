"""Recipes of rain (`RainRecipe`, `RECIPES`) for training, validation and evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from models.rain.streaks import (
    BOLD,
    COARSE,
    FAINT_LONG,
    FINE,
    MEDIUM,
    NEEDLES,
    SHEET,
    SLEET,
    SOFT,
    StreakFamily,
)


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
    families: tuple[tuple[StreakFamily, float], ...] = (
        (FINE, 1.0),
        (MEDIUM, 0.5),
        (BOLD, 0.5),
        (FAINT_LONG, 0.5),
        (SOFT, 0.5),
        (SHEET, 0.3),
        (SHEET, 0.2),
    )
    """Procedural families, each with the probability that a sample has a layer of it."""
    camera: bool = False
    """Whether exposure, mist, noise, focus, JPEG and rain-like content are added to both sides of unrecorded
    rain."""
    veil: bool = False
    """Whether mist is on the rainy side alone, so that networks learn to remove it."""

    @property
    def shares(self) -> tuple[float, float, float, float, float]:
        """Shares in the order in which kinds are numbered."""
        return (self.recorded, self.bank, self.procedural, self.both, self.drops)


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

RECIPES = {
    "mixed": RainRecipe(
        recorded=0.28,
        bank=0.18,
        procedural=0.17,
        both=0.21,
        drops=0.05,
        families=WITH_SPARSE,
        camera=True,
    ),
    "light": RainRecipe(recorded=1.0),
    "heavy": RainRecipe(both=1.0),
    "fine": RainRecipe(
        procedural=1.0, families=((FINE, 1.0), (SOFT, 0.7), (FAINT_LONG, 0.5), (MEDIUM, 0.3)), camera=True
    ),
    "drops": RainRecipe(procedural=0.2, drops=0.7, camera=True),
    "veil": RainRecipe(recorded=0.2, bank=0.2, procedural=0.3, both=0.2, camera=True, veil=True),
    "none": RainRecipe(),
    "none-clutter": RainRecipe(camera=True),
}
"""Named recipes: shipped networks are trained on `mixed`; light, heavy, fine, drops and none are for validation."""

HELD_OUT_RECIPES = {
    "coarse": RainRecipe(procedural=1.0, families=((COARSE, 1.0), (COARSE, 0.5))),
    "sleet": RainRecipe(procedural=1.0, families=((SLEET, 1.0), (SLEET, 0.5))),
    "needles": RainRecipe(procedural=1.0, families=((NEEDLES, 1.0), (NEEDLES, 0.5))),
}
"""Rain of the held-out families, for evaluation only."""
