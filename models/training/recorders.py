"""Recorders of a training: the protocol (`Recorder`), and the curve on disk (`CurveFile`)."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from models.images import RgbImage


class Recorder(Protocol):
    """An object that records the curve of a training."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record named numbers of a step; they replace everything recorded earlier for this and later steps."""

    def picture(self, step: int, name: str, picture: RgbImage) -> None:
        """Record a picture, uint8 RGB (H, W, 3)."""


class CurveFile:
    """Recorder that writes a CSV with one row per validation."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add a row; drop rows of this and later steps, which a run left that was killed before its checkpoint."""
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
        """Ignore pictures."""
