"""Counts of existing outputs by the model that made them (`MadeBy`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from infra.records import model_label

_COLUMNS = ("model_name", "model_version", "model_digest")
_MOST_NUMBERS = 65_535


@dataclass(frozen=True, slots=True)
class MadeBy:
    """The number of outputs that one model made."""

    name: str
    version: str
    digest: str
    images: int

    @property
    def label(self) -> str:
        """The model as users write it; see `infra.records.model_label`."""
        return model_label(self.name, self.version, self.digest)


@dataclass(slots=True)
class ModelNumbers:
    """Numbers for the models in a catalog: two bytes per row instead of three strings."""

    _numbers: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def encode(self, frame: pl.DataFrame) -> npt.NDArray[np.uint16]:
        """Return the model number of each row; beyond 65,535 models, rows share the last number."""
        models = frame.select(_COLUMNS).unique().rows()
        for model in models:
            self._numbers.setdefault(model, min(len(self._numbers), _MOST_NUMBERS))
        numbers = pl.DataFrame(
            [(*model, self._numbers[model]) for model in models],
            schema={**dict.fromkeys(_COLUMNS, pl.String), "number": pl.UInt16},
            orient="row",
        )
        return (
            frame.select(_COLUMNS)
            .join(numbers, on=_COLUMNS, how="left", maintain_order="left")["number"]
            .to_numpy()
        )

    def stale(self, numbers: npt.NDArray[np.uint16], digest: str) -> npt.NDArray[np.bool_]:
        """Return which numbers stand for a model with another digest."""
        current = [number for (*_, known), number in self._numbers.items() if known == digest]
        return ~np.isin(numbers, current)

    def count(self, images: npt.NDArray[np.int64]) -> tuple[MadeBy, ...]:
        """Return the models that made outputs, most outputs first.

        Parameters
        ----------
        images : numpy.ndarray
            (numbers,) int64: outputs per model number.
        """
        made = [
            MadeBy(*model, int(images[number]))
            for model, number in self._numbers.items()
            if number < len(images) and images[number]
        ]
        return tuple(sorted(made, key=lambda each: (-each.images, each.label)))


def describe_other_makers(made: Sequence[MadeBy], digest: str) -> str:
    """Describe which models made outputs; empty if all are from the model with this digest."""
    if all(each.digest == digest for each in made):
        return ""
    if len(made) == 1:
        return f"by {made[0].label}"
    return ", ".join(f"{each.images:,} by {each.label}" for each in made)
