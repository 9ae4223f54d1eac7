"""Ranges of numeric settings (`Range`), and their check (`check_ranges`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    """The valid values of a finite number."""

    low: float = 0
    high: float = math.inf
    excludes_low: bool = False
    kind: str = ""
    """Words before the bounds in the message."""

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.excludes_low else value >= self.low
        return above and value <= self.high and math.isfinite(value)

    def __str__(self) -> str:
        if math.isfinite(self.high):
            return f"{self.kind}{self.low} to {self.high}"
        return f"more than {self.low}" if self.excludes_low else f"at least {self.low}"


NOT_NEGATIVE = Range()
POSITIVE = Range(excludes_low=True)
COUNT = Range(low=1)
UNIT = Range(high=1)
SHARE = Range(high=1, kind="a share of the steps, ")


def check_ranges(values: Mapping[str, float], ranges: Mapping[str, Range]) -> None:
    """Check numbers by name.

    Raises
    ------
    ValueError
        If one is outside its range or is not finite; the message names it, its value and its range.
    """
    for name, valid in ranges.items():
        if values[name] not in valid:
            finite = "" if math.isfinite(values[name]) else "finite and "
            raise ValueError(f"{name} {values[name]}: must be {finite}{valid}")
