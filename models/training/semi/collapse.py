"""Detection of collapse (`CollapseWatch`): training stops if a network removes far too much or too little."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.errors import ModelError
from models.training import distributed

LIMITS = (0.5, 2.0)
"""Smallest and largest ratio of the mean rain layer to the actual rain."""
MEMORY = 0.9
"""Decay of the running means per look."""


class Collapsed(ModelError):
    """Raised if a network no longer derains; the message says what it does. The best weights so far are kept."""


class CollapseWatch(nn.Module):
    """Compare the mean rain layer of unlabelled photographs with that of the labelled ones.

    It must stay within 0.5 to 2 times the mean of the rendered rain. If the unlabelled photographs have lighter or
    heavier rain from the start, the bound on that side is relative to what the network found at the first look
    (ours: otherwise every pool of light rain would count as a collapse before the first step).
    """

    labelled: Tensor
    found: Tensor
    at_first: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("labelled", "found", "at_first"):
            self.register_buffer(name, torch.tensor(float("nan")))

    @torch.no_grad()
    def look(self, step: int, rendered: Tensor, rain: Tensor) -> None:
        """Update the running means with one batch of each, and check them.

        The means are those of all processes: a process that stopped alone would leave the others waiting.

        Parameters
        ----------
        step : int
            Number of the step.
        rendered : Tensor
            Rendered rain layers, of any shape, in [0, 1].
        rain : Tensor
            Rain layers that the network found in unlabelled photographs, of any shape.

        Raises
        ------
        Collapsed
            If the running mean of the latter leaves the limits, or is not finite.
        """
        found, labelled = distributed.all_mean(
            torch.stack((rain.float().clamp(min=0).mean(), rendered.float().mean()))
        )
        if self.at_first.isnan():
            self.at_first.copy_(found)
            self.found.copy_(found)
            self.labelled.copy_(labelled)
        self.found.lerp_(found, 1 - MEMORY)
        self.labelled.lerp_(labelled, 1 - MEMORY)
        self._refuse(step)

    def _refuse(self, step: int) -> None:
        labelled, found, at_first = (float(each) for each in (self.labelled, self.found, self.at_first))
        low, high = LIMITS[0] * min(labelled, at_first), LIMITS[1] * max(labelled, at_first)
        if low <= found <= high:
            return
        amount = "too little" if found < low else "too much"
        raise Collapsed(
            f"collapse at step {step}: the network removes {amount}: on average {255 * found:.2f} of 255 levels of"
            f" the unlabelled photographs, {255 * at_first:.2f} at first (limits {255 * low:.2f} to"
            f" {255 * high:.2f}); training stopped, the best weights so far are kept: leave out self-made targets"
            " or lower the learning rate"
        )
