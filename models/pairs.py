"""Batches of photographs with and without rain (`RainyPair`), used in training and validation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

FAINTEST_RAIN = 4 / 255
"""Streaks below this grey level never count as rain in a mask, however faint the rest is."""


@dataclass(frozen=True, slots=True)
class RainyPair:
    """Photographs with and without rain, each (B, 3, H, W) in [0, 1], and the rain layer that was rendered.

    `streaks` is (B, 1, H, W) in [0, 1], before the camera's noise and JPEG; zeros in an identity pair.
    """

    rainy: Tensor
    clean: Tensor
    streaks: Tensor

    @property
    def rain_mask(self) -> Tensor:
        """Mask of the rain: 1 where a streak is above its photograph's mean streak, (B, 1, H, W).

        AFR-Net's threshold (Wang, Sun, Sowmya, 2021), taken on the rendered layer.
        """
        return mask_of(self.streaks)


def mask_of(streaks: Tensor) -> Tensor:
    """Return 1 where a streak (B, 1, H, W) is above its photograph's mean streak, 0 elsewhere.

    The floor is ours: without rain the mask is empty.
    """
    mean = streaks.mean(dim=(1, 2, 3), keepdim=True)
    return (streaks > mean.clamp(min=FAINTEST_RAIN)).to(streaks.dtype)
