"""Array types of photographs, and conversion between arrays and tensors.

PyTorch is imported inside the functions: codecs need only the array types, and an error about bad input should not
wait for the import.
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
    """Convert a photograph (H, W, 3) to a float32 tensor (3, H, W) in [0, 1]; the array is copied."""
    import torch

    return torch.from_numpy(rgb.copy()).permute(2, 0, 1).float() / 255


def to_rgb(picture: Tensor) -> RgbImage:
    """Convert a float tensor (3, H, W) to a photograph (H, W, 3), clipped to [0, 1] and rounded to 8 bits."""
    import torch

    scaled = picture.float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return scaled.permute(1, 2, 0).cpu().numpy()
