"""What semi-supervised training sees of real rain: photographs, their streaks, and targets that may be wrong."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import torch
from torch import Tensor

from models.banks import Bank, sample
from models.crops import crop_grid
from models.draws import Draws


@dataclass(frozen=True, slots=True)
class Targets:
    """Rainy photographs with targets and how far each pixel is trusted; pictures of one number are of one size."""

    rainy: Bank
    target: Bank
    """Pseudo-labels, or temporal backgrounds."""
    confidence: Bank
    """One channel: 0 for no trust, 255 for all."""

    def __post_init__(self) -> None:
        """Refuse banks that do not fit each other.

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

    def crops(self, draws: Draws, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Cut rainy, target (B, 3, size, size) and confidence (B, 1, size, size) out of the same places."""
        index, grid = _places(draws, self.rainy, size)
        rainy, target, confidence = (
            sample(bank, index, grid) for bank in (self.rainy, self.target, self.confidence)
        )
        return rainy, target, confidence


@dataclass(frozen=True, slots=True)
class RealRain:
    """All that is known of real rain."""

    photographs: Bank
    """Unlabelled."""
    streaks: Bank
    """Taken from them: `models.streak_bank`."""
    held_out_streaks: Bank
    """Of other photographs: they fall on validation photographs."""
    pseudo_labels: Targets | None = None
    temporal: Targets | None = None

    def to(self, device: torch.device) -> RealRain:
        """Move everything to a device."""
        return RealRain(
            self.photographs.to(device),
            self.streaks.to(device),
            self.held_out_streaks.to(device),
            self.pseudo_labels and self.pseudo_labels.to(device),
            self.temporal and self.temporal.to(device),
        )

    def crops(self, draws: Draws, size: int) -> Tensor:
        """Cut a crop out of an unlabelled photograph a sample, (B, 3, size, size)."""
        return sample(self.photographs, *_places(draws, self.photographs, size))

    @property
    def digest(self) -> str:
        """SHA-256 over all pixels: a resumed training must see the same."""
        targets = [part for part in (self.pseudo_labels, self.temporal) if part is not None]
        banks = [self.photographs, self.streaks, self.held_out_streaks]
        banks += [bank for part in targets for bank in (part.rainy, part.target, part.confidence)]
        seen = sha256()
        for bank in banks:
            seen.update(bank.pixels.cpu().numpy().tobytes())
        return seen.hexdigest()


def _places(draws: Draws, bank: Bank, size: int) -> tuple[Tensor, Tensor]:
    index = draws.integer(len(bank))
    return index, crop_grid(draws, bank, index, torch.ones(draws.batch, device=draws.device), size)
