"""Photographs as arrays and as tensors: the types of both, and the way from one to the other.

PyTorch is imported by the functions: a codec needs the types of arrays alone, and a refusal should not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

RgbImage = npt.NDArray[np.uint8]
"""(H, W, 3) uint8, sRGB."""
RgbBatch = npt.NDArray[np.uint8]
"""(B, H, W, 3) uint8, sRGB."""


def to_floats(rgb: RgbImage) -> Tensor:
    """Return a photograph (H, W, 3) as a float32 tensor (3, H, W) in [0, 1]; the array is copied."""
    import torch

    return torch.from_numpy(rgb.copy()).permute(2, 0, 1).float() / 255


def to_rgb(picture: Tensor) -> RgbImage:
    """Return a tensor (3, H, W) of floats as a photograph (H, W, 3), clipped to [0, 1] and rounded to 8 bits."""
    import torch

    scaled = picture.float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return scaled.permute(1, 2, 0).cpu().numpy()
