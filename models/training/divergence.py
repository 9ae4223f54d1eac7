"""Detection of diverging trainings (`Progress`, `require_finite`), which are stopped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from models.errors import ModelError

TOLERATED_FALL = 0.5
"""dB of the overall score below the best one: smaller falls are noise, however many follow one another."""


class Diverged(ModelError):
    """A training makes its network worse; the message says how and what to try. The best weights are kept."""


@dataclass(slots=True)
class Progress:
    """The validations of a training so far; part of its checkpoint."""

    last: float = float("-inf")
    """Overall score of the last validation, dB."""
    falls: int = 0
    """Validations in a row that were each worse than the one before."""

    def state_dict(self) -> dict[str, float]:
        """Return what a checkpoint holds."""
        return {"last": self.last, "falls": self.falls}

    def load_state_dict(self, kept: Mapping[str, float]) -> None:
        """Take over what a checkpoint holds."""
        self.last, self.falls = kept["last"], int(kept["falls"])

    def look(self, step: int, overall: float, best: float, patience: int) -> None:
        """Take in a validation.

        Parameters
        ----------
        step : int
            After which it was made.
        overall, best : float
            Its score and the best one so far, dB.
        patience : int
            Falls in a row that are too many.

        Raises
        ------
        Diverged
            If the score is not finite, or has fallen that often and by more than `TOLERATED_FALL` in all.
        """
        if not math.isfinite(overall):
            raise Diverged(f"step {step}: the validation score is {overall}; {_ADVICE}")
        self.falls = self.falls + 1 if overall < self.last else 0
        self.last = overall
        if self.falls >= patience and best - overall > TOLERATED_FALL:
            raise Diverged(
                f"step {step}: the validation score has fallen {self.falls} times in a row, from {best:.2f} to"
                f" {overall:.2f} dB; {_ADVICE}"
            )


_ADVICE = "training stopped, the best weights so far are kept: begin again from them at a lower learning rate"


def require_finite(step: int, terms: Mapping[str, Tensor]) -> None:
    """Stop before a loss or gradient that is not finite reaches the weights.

    Raises
    ------
    Diverged
        Names the terms.
    """
    broken = [name for name, term in terms.items() if not math.isfinite(float(term.detach()))]
    if broken:
        raise Diverged(f"step {step}: not finite: {', '.join(broken)}; {_ADVICE}")
