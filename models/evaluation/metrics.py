"""PSNR and SSIM in this field's convention: uint8 in, Y of BT.601 (16 to 235), gaussian 11x11 SSIM."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.images import RgbImage

_BT601 = np.array([65.481, 128.553, 24.966]) / 255
"""Weights of R, G, B in Y (ITU-R BT.601, studio range)."""


def luma(rgb: RgbImage) -> npt.NDArray[np.float64]:
    """Return Y of BT.601 in [16, 235], (H, W), from uint8 RGB (H, W, 3); not rounded."""
    return 16 + rgb @ _BT601


def psnr_y(derained: RgbImage, clean: RgbImage) -> float:
    """Return the peak signal-to-noise ratio on Y in dB; infinite for equal images."""
    return _psnr(luma(derained), luma(clean))


def psnr_rgb(derained: RgbImage, clean: RgbImage) -> float:
    """Return the peak signal-to-noise ratio over the three channels in dB; infinite for equal images."""
    return _psnr(derained.astype(np.float64), clean.astype(np.float64))


def ssim_y(derained: RgbImage, clean: RgbImage) -> float:
    """Return the structural similarity on Y (Wang et al., 2004): gaussian window of 11, sigma 1.5."""
    return _ssim(luma(derained), luma(clean), None)


def ssim_rgb(derained: RgbImage, clean: RgbImage) -> float:
    """Return the structural similarity, averaged over the three channels."""
    return _ssim(derained.astype(np.float64), clean.astype(np.float64), 2)


def _psnr(derained: npt.NDArray[np.float64], clean: npt.NDArray[np.float64]) -> float:
    error = float(np.mean((derained - clean) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def _ssim(
    derained: npt.NDArray[np.float64], clean: npt.NDArray[np.float64], channel_axis: int | None
) -> float:
    from skimage.metrics import structural_similarity  # slow to import, and absent on a bare training machine

    return float(
        structural_similarity(
            derained,
            clean,
            data_range=255,
            channel_axis=channel_axis,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )
