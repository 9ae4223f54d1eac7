"""Whether two samples come from one distribution: a permutation test, and Holm's correction for several of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Sample = npt.NDArray[np.float64]
"""(n, d): n observations of d figures."""

PERMUTATIONS = 1999


@dataclass(frozen=True, slots=True)
class TwoSampleTest:
    """How far two samples are apart, and how often chance would have them as far apart."""

    distance: float
    """Energy distance of the standardised figures."""
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
    """Test two samples by the energy distance (Szekely and Rizzo, 2004), its p-value by permutation.

    Each figure is first divided by its standard deviation over both samples, so that none counts by its unit.

    Parameters
    ----------
    reference, newest : ndarray
        (n, d) and (m, d), finite.
    units : pair of sequences of str, optional
        The unit of each observation: those of one unit are no independent evidence and change sides together.
        The same name on both sides is two units. Unset: each is its own.
    permutations : int
        How often the units are dealt again; the smallest p-value is 1 / (permutations + 1).
    seed : int
        The same seed gives the same p-value.

    Raises
    ------
    ValueError
        If a sample is empty or a figure is not finite.
    """
    both = np.concatenate([reference, newest])
    if not (len(reference) and len(newest) and np.isfinite(both).all()):
        raise ValueError(f"{len(reference)} and {len(newest)} observations, all of which must be finite")
    first, second = units or (range(len(reference)), range(len(newest)))
    names, member = np.unique(
        [f"r{name}" for name in first] + [f"s{name}" for name in second], return_inverse=True
    )
    sums, sizes = _unit_sums(_distances(both), member), np.bincount(member).astype(np.float64)
    is_newest = np.array([name.startswith("s") for name in names])
    generator = np.random.default_rng(seed)
    dealt = generator.permuted(np.tile(is_newest, (permutations, 1)), axis=1)
    observed = _energy(sums, sizes, is_newest[None])[0]
    # By the size of a rounding error more than what was observed counts as it: equal samples are dealt equal.
    larger = int(np.count_nonzero(_energy(sums, sizes, dealt) >= observed - 1e-12))
    new = int(is_newest.sum())
    return TwoSampleTest(float(observed), (1 + larger) / (1 + permutations), len(names) - new, new)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values of several tests: that any is below alpha by chance has odds of alpha at most (Holm, 1979).

    They stay in the order they came.
    """
    order = np.argsort(p_values)
    steps = np.asarray(p_values, np.float64)[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in adjusted]


def _distances(sample: Sample) -> Sample:
    """Return the euclidean distances of all pairs, (n, n)."""
    deviations = sample.std(axis=0)
    scaled = (sample - sample.mean(axis=0)) / np.where(deviations > 0, deviations, 1.0)
    squares = (scaled**2).sum(axis=1)
    distances: Sample = np.sqrt(np.maximum(squares[:, None] + squares - 2 * scaled @ scaled.T, 0.0))
    np.fill_diagonal(distances, 0.0)
    return distances


def _unit_sums(distances: Sample, member: npt.NDArray[np.intp]) -> Sample:
    """Sum the distances over units, (u, u)."""
    belongs = np.zeros((int(member.max()) + 1, len(member)))
    belongs[member, np.arange(len(member))] = 1.0
    sums: Sample = belongs @ distances @ belongs.T
    return sums


def _energy(sums: Sample, sizes: Sample, sides: npt.NDArray[np.bool_]) -> Sample:
    """Return the energy distance for each row of sides, (p, u): whether a unit is of the second sample."""
    second = sides.astype(np.float64)
    first = 1.0 - second
    n, m = first @ sizes, second @ sizes
    within_first, within_second, between = (
        np.einsum("pu,pu->p", left @ sums, right)
        for left, right in ((first, first), (second, second), (first, second))
    )
    energy: Sample = 2 * between / (n * m) - within_first / n**2 - within_second / m**2
    return energy
