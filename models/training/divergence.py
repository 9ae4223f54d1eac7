"""Detection of diverging trainings (`Progress`, `require_finite`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from models.errors import ModelError

TOLERATED_FALL = 0.5
"""dB below the best overall score: smaller falls are noise, however many there are in a row."""


class Diverged(ModelError):
    """Raised if a training makes its network worse; the message says what to try. The best weights are kept."""


@dataclass(slots=True)
class Progress:
    """The validations of a training so far; part of its checkpoint."""

    last: float = float("-inf")
    """Overall score of the last validation, dB."""
    falls: int = 0
    """Number of consecutive validations that were each worse than the one before."""

    def state_dict(self) -> dict[str, float]:
        """Return the values for a checkpoint."""
        return {"last": self.last, "falls": self.falls}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Restore the values of a checkpoint."""
        self.last, self.falls = state["last"], int(state["falls"])

    def look(self, step: int, overall: float, best: float, patience: int) -> None:
        """Add the result of a validation.

        Parameters
        ----------
        step : int
            Number of steps before the validation.
        overall, best : float
            Overall score of the validation, and the best one so far, dB.
        patience : int
            Number of falls in a row after which the training stops.

        Raises
        ------
        Diverged
            If the score is not finite, or has fallen `patience` times in a row and is more than `TOLERATED_FALL`
            below the best one.
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


_ADVICE = "training stopped, the best weights so far are kept: start again from them at a lower learning rate"


def require_finite(step: int, terms: Mapping[str, Tensor]) -> None:
    """Raise before a loss or gradient that is not finite reaches the weights.

    Raises
    ------
    Diverged
        If a term is not finite; the message names all such terms.
    """
    broken = [name for name, term in terms.items() if not math.isfinite(float(term.detach()))]
    if broken:
        raise Diverged(f"step {step}: not finite: {', '.join(broken)}; {_ADVICE}")
