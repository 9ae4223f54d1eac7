"""Two-sample permutation test (`energy_test`), and Holm's correction for several tests (`holm`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Sample = npt.NDArray[np.float64]
"""(n, d): n observations of d features."""

PERMUTATIONS = 1999


@dataclass(frozen=True, slots=True)
class TwoSampleTest:
    """The distance of two samples, and the probability of a distance as large under the null hypothesis."""

    distance: float
    """Energy distance of the standardised features."""
    p_value: float
    reference_units: int
    newest_units: int


def energy_test(
    reference: Sample,
    newest: Sample,
    units: tuple[Sequence[str], Sequence[str]] | None = None,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> TwoSampleTest:
    """Test whether two samples share a distribution, by the energy distance (Szekely and Rizzo, 2004).

    The p-value comes from permutations. Each feature is first divided by its standard deviation over both samples,
    so that units do not matter.

    Parameters
    ----------
    reference, newest : ndarray
        (n, d) and (m, d), finite.
    units : pair of sequences of str, optional
        The unit of each observation: observations of one unit are not independent and are permuted together.
        The same name in both samples means two units. By default each observation is a separate unit.
    permutations : int
        Number of random permutations; the smallest p-value is 1 / (permutations + 1).
    seed : int
        Seed of the permutations; the same seed gives the same p-value.

    Raises
    ------
    ValueError
        If a sample is empty or a value is not finite.
    """
    both = np.concatenate([reference, newest])  # (n + m, d)
    if not (len(reference) and len(newest) and np.isfinite(both).all()):
        raise ValueError(f"{len(reference)} and {len(newest)} observations, all of which must be finite")
    first, second = units or (range(len(reference)), range(len(newest)))
    names, member = np.unique(
        [f"r{name}" for name in first] + [f"s{name}" for name in second], return_inverse=True
    )
    sums, sizes = _unit_sums(_distances(both), member), np.bincount(member).astype(np.float64)
    is_newest = np.array([name.startswith("s") for name in names])  # (u,)
    generator = np.random.default_rng(seed)
    dealt = generator.permuted(np.tile(is_newest, (permutations, 1)), axis=1)  # (p, u)
    observed = _energy(sums, sizes, is_newest[None])[0]
    # The tolerance absorbs rounding errors: permutations of equal samples count as equally far apart.
    larger = int(np.count_nonzero(_energy(sums, sizes, dealt) >= observed - 1e-12))
    new = int(is_newest.sum())
    return TwoSampleTest(float(observed), (1 + larger) / (1 + permutations), len(names) - new, new)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that the family-wise error rate is at most alpha (Holm, 1979).

    The order of the p-values is kept.
    """
    order = np.argsort(p_values)
    ascending = np.asarray(p_values, np.float64)[order]
    steps = ascending * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in adjusted]


def _distances(sample: Sample) -> Sample:
    """Return the Euclidean distances of all pairs, (n, n)."""
    deviations = sample.std(axis=0)
    scaled = (sample - sample.mean(axis=0)) / np.where(deviations > 0, deviations, 1.0)
    squares = (scaled**2).sum(axis=1)  # (n,)
    distances: Sample = np.sqrt(np.maximum(squares[:, None] + squares - 2 * scaled @ scaled.T, 0.0))
    np.fill_diagonal(distances, 0.0)
    return distances


def _unit_sums(distances: Sample, member: npt.NDArray[np.intp]) -> Sample:
    """Sum the distances over pairs of units, (u, u)."""
    belongs = np.zeros((int(member.max()) + 1, len(member)))  # (u, n), one-hot
    belongs[member, np.arange(len(member))] = 1.0
    sums: Sample = belongs @ distances @ belongs.T
    return sums


def _energy(sums: Sample, sizes: Sample, sides: npt.NDArray[np.bool_]) -> Sample:
    """Return (p,) energy distances, one per row of `sides`, (p, u): whether a unit is in the second sample."""
    second = sides.astype(np.float64)
    first = 1.0 - second
    n, m = first @ sizes, second @ sizes  # (p,) each
    within_first, within_second, between = (
        np.einsum("pu,pu->p", left @ sums, right)  # (p,)
        for left, right in ((first, first), (second, second), (first, second))
    )
    energy: Sample = 2 * between / (n * m) - within_first / n**2 - within_second / m**2
    return energy
