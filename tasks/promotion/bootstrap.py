"""Paired bootstrap (`paired_interval`): the confidence interval of the difference between two networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Figures = npt.NDArray[np.float64]

RESAMPLES = 5_000
CONFIDENCE = 0.95
"""Fraction of the resampled means within the bounds of an interval."""
_BLOCK = 250
"""Number of resamples drawn at once, which bounds the memory for large sets."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the bounds of its confidence interval."""

    mean: float
    lower: float
    upper: float


def paired_interval(
    differences: Figures, groups: Sequence[str] | None = None, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """Return the mean of paired differences with its percentile bootstrap interval (Efron and Tibshirani, 1993).

    Parameters
    ----------
    differences : ndarray
        (n,) challenger - champion, one per photograph.
    groups : sequence of str, optional
        The scene of each photograph: photographs of one scene are not independent and are drawn together (cluster
        bootstrap). By default each photograph is a separate scene.
    seed : int
        Seed of the resampling; the same seed gives the same interval.
    resamples : int
        Number of resamples.

    Raises
    ------
    ValueError
        If `differences` is empty or has a value that is not finite.
    """
    if len(differences) == 0 or not np.isfinite(differences).all():
        raise ValueError(f"{len(differences)} differences, all of which must be finite numbers")
    names = np.arange(len(differences)) if groups is None else np.asarray(groups)
    _, member = np.unique(names, return_inverse=True)
    sums, counts = (np.bincount(member, values).astype(np.float64) for values in (differences, None))
    generator = np.random.default_rng(seed)
    means = np.concatenate(
        [
            _means(
                sums, counts, generator.integers(len(sums), size=(min(_BLOCK, resamples - done), len(sums)))
            )
            for done in range(0, resamples, _BLOCK)
        ]
    )
    tail = (1 - CONFIDENCE) / 2
    lower, upper = np.quantile(means, [tail, 1 - tail])
    return Interval(float(differences.mean()), float(lower), float(upper))


def _means(sums: Figures, counts: Figures, drawn: npt.NDArray[np.int64]) -> Figures:
    """Return the mean of each row of drawn groups."""
    means: Figures = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return means
