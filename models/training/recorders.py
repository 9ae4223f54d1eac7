"""Recorders of a training: a curve on disk always, others where they are given."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from models.images import RgbImage


class Recorder(Protocol):
    """Records the curve of a training."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Keep named numbers of a step; what was kept of this and later steps before is out of date."""

    def picture(self, step: int, name: str, picture: RgbImage) -> None:
        """Keep a picture, uint8 RGB (H, W, 3)."""


class CurveFile:
    """The curve as a CSV, one row per validation."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add a row in place of what a run that was killed before its checkpoint left of this step and later."""
        row = {"step": step, **{name: round(value, 5) for name, value in values.items()}}
        rows: list[Mapping[str, object]] = []
        if self._path.exists():
            with self._path.open(newline="") as lines:
                rows = [earlier for earlier in csv.DictReader(lines) if int(earlier["step"]) < step]
        columns = list(dict.fromkeys(name for each in (*rows, row) for name in each))
        partial = self._path.with_name(self._path.name + ".partial")
        with partial.open("w", newline="") as lines:
            writer = csv.DictWriter(lines, columns)
            writer.writeheader()
            writer.writerows([*rows, row])
        partial.replace(self._path)

    def picture(self, step: int, name: str, picture: RgbImage) -> None:
        """Leave pictures to others."""
