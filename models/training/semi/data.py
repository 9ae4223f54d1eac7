"""Data of semi-supervised training (`RealRain`): photographs of real rain, their streaks, uncertain targets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from hashlib import sha256

import torch
from torch import Tensor

from models.rain.banks import Bank, sample
from models.rain.crop_grids import crop_grid
from models.rng import SampleRng


@dataclass(frozen=True, slots=True)
class Targets:
    """Rainy photographs with targets and a confidence per pixel; pictures of the same number have the same size."""

    rainy: Bank
    target: Bank
    """Temporal backgrounds."""
    confidence: Bank
    """One channel, from 0 (not trusted) to 255 (fully trusted)."""

    def __post_init__(self) -> None:
        """Check that the banks fit each other.

        Raises
        ------
        ValueError
            If they differ in the number or the size of their pictures.
        """
        for name, other in (("target", self.target), ("confidence", self.confidence)):
            same = (
                torch.equal(self.rainy.heights, other.heights),
                torch.equal(self.rainy.widths, other.widths),
            )
            if not all(same):
                raise ValueError(f"rainy photographs and {name} differ in number or size")

    def to(self, device: torch.device) -> Targets:
        """Move everything to a device."""
        return Targets(self.rainy.to(device), self.target.to(device), self.confidence.to(device))

    def __len__(self) -> int:
        return len(self.rainy)

    def whole(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return one whole photograph: rainy, target (1, 3, H, W) and confidence (1, 1, H, W)."""
        rainy, target, confidence = (
            bank.picture(number)[None] for bank in (self.rainy, self.target, self.confidence)
        )
        return rainy, target, confidence

    def crops(self, rng: SampleRng, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Cut rainy, target (B, 3, size, size) and confidence (B, 1, size, size) at the same random places."""
        index, grid = _places(rng, self.rainy, size)
        rainy, target, confidence = (
            sample(bank, index, grid) for bank in (self.rainy, self.target, self.confidence)
        )
        return rainy, target, confidence


@dataclass(frozen=True, slots=True)
class RealRain:
    """Photographs of real rain, with the streaks and targets that were derived from them."""

    photographs: Bank
    """Unlabelled photographs."""
    streaks: Bank
    """Streaks taken from them by `models.rain.streak_mining`."""
    held_out_streaks: Bank
    """Streaks of other photographs, for validation."""
    temporal: Targets | None = None
    held_out_temporal: Targets | None = None
    """Targets of other scenes, for validation."""

    def to(self, device: torch.device) -> RealRain:
        """Move everything to a device."""
        return RealRain(
            self.photographs.to(device),
            self.streaks.to(device),
            self.held_out_streaks.to(device),
            self.temporal and self.temporal.to(device),
            self.held_out_temporal and self.held_out_temporal.to(device),
        )

    def crops(self, rng: SampleRng, size: int) -> Tensor:
        """Cut one crop per sample from unlabelled photographs, (B, 3, size, size)."""
        return sample(self.photographs, *_places(rng, self.photographs, size))

    @property
    def digest(self) -> str:
        """SHA-256 over names, sizes and pixels of all banks, which must not change when a training resumes."""
        seen = sha256()
        for name, bank in self._banks():
            seen.update(f"{name} {bank.heights.tolist()} {bank.widths.tolist()} ".encode())
            seen.update(bank.pixels.cpu().numpy().tobytes())
        return seen.hexdigest()

    def _banks(self) -> Iterator[tuple[str, Bank]]:
        for field in fields(self):
            part = getattr(self, field.name)
            if isinstance(part, Bank):
                yield field.name, part
            elif part is not None:
                yield from ((f"{field.name}.{kind.name}", getattr(part, kind.name)) for kind in fields(part))


def _places(rng: SampleRng, bank: Bank, size: int) -> tuple[Tensor, Tensor]:
    index = rng.integer(len(bank))
    return index, crop_grid(rng, bank, index, torch.ones(rng.batch, device=rng.device), size)
