"""A watch over what a network takes from unlabelled photographs: training stops when it takes all, or nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.errors import ModelError
from models.training import distributed

LIMITS = (0.5, 2.0)
"""Factors by which the mean rain layer may be below and above the actual rain."""
MEMORY = 0.9
"""Share of the running means that a look keeps."""


class Collapsed(ModelError):
    """The network no longer derains; the message says what it does. The best weights so far are whole."""


class CollapseWatch(nn.Module):
    """Compares the mean rain layer of unlabelled photographs with that of the labelled ones.

    It may be in [0.5, 2] times the mean of the rendered rain. Where the rain of the unlabelled photographs is
    lighter or heavier than that from the start, the bound on that side is taken of what the network found at its
    first look (ours: else every pool of light rain would be a collapse before the first step).
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
        """Take in one batch of each, of all processes: one that stopped alone would leave the others waiting.

        Parameters
        ----------
        step : int
            Number of the step.
        rendered : Tensor
            Rain layers that were rendered, of any shape, in [0, 1].
        rain : Tensor
            Rain layers that the network found in unlabelled photographs.

        Raises
        ------
        Collapsed
            If their running mean leaves the limits, or is not finite.
        """
        now, then = distributed.all_mean(
            torch.stack((rain.float().clamp(min=0).mean(), rendered.float().mean()))
        )
        if self.at_first.isnan():
            self.at_first.copy_(now)
            self.found.copy_(now)
            self.labelled.copy_(then)
        self.found.lerp_(now, 1 - MEMORY)
        self.labelled.lerp_(then, 1 - MEMORY)
        self._refuse(step)

    def _refuse(self, step: int) -> None:
        labelled, found, at_first = (float(each) for each in (self.labelled, self.found, self.at_first))
        low, high = LIMITS[0] * min(labelled, at_first), LIMITS[1] * max(labelled, at_first)
        if low <= found <= high:
            return
        does = "takes away ever less" if found < low else "takes away ever more"
        raise Collapsed(
            f"collapse at step {step}: the network {does}: on average {255 * found:.2f} of 255 levels of the"
            f" unlabelled photographs, at first {255 * at_first:.2f} (limits {255 * low:.2f} to {255 * high:.2f});"
            " training stopped, the best weights so far are kept: leave out self-made targets or lower the"
            " learning rate"
        )
