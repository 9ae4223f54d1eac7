"""NIQE, the Natural Image Quality Evaluator (Mittal, Soundararajan, Bovik, IEEE Signal Processing Letters, 2013).

NIQE measures how far the local statistics of a photograph are from those of pristine ones: lower is more natural.
The code follows the paper's formulas. The pristine model in `weights/niqe.safetensors` was fitted on this project's
training photographs (`python -m benchmarks.release.niqe_model`), so values are comparable with each other but not
with published ones. Blind scores fail on rain, which looks natural: NIQE is reported but decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from models.evaluation.metrics import luma
from models.images import RgbImage

PRISTINE = Path(__file__).parents[1] / "weights" / "niqe.safetensors"
"""Weights file of this project's pristine model."""
PATCH = 96
"""Side of a patch in pixels; half of it at the coarser of the two scales."""
_RADIUS, _SIGMA = 3, 7 / 6
"""Gaussian window of local mean and deviation: 7x7 pixels, about three standard deviations to each side."""


@dataclass(frozen=True, slots=True)
class NaturalModel:
    """Gaussian over the 36 features of natural patches: mean (36,) and covariance (36, 36), float64."""

    mean: Tensor
    covariance: Tensor


def niqe(photograph: RgbImage, pristine: NaturalModel) -> float:
    """Return the distance between the gaussian of a photograph's patches and the pristine one (eq. 10).

    Parameters
    ----------
    photograph : ndarray
        (H, W, 3) uint8, at least 96 pixels per side.
    pristine : NaturalModel
        Model of natural patches; see `read_pristine`.

    Raises
    ------
    ValueError
        If the photograph is too small, or flat everywhere.
    """
    fitted = gaussian_of(patch_features(photograph)[0])
    offset = fitted.mean - pristine.mean
    pooled = torch.linalg.pinv((fitted.covariance + pristine.covariance) / 2, hermitian=True)
    return float((offset @ pooled @ offset).clamp(min=0).sqrt())


def read_pristine(path: Path = PRISTINE) -> NaturalModel:
    """Read a pristine model."""
    stored = load_file(path)
    return NaturalModel(stored["mean"], stored["covariance"])


def patch_features(photograph: RgbImage) -> tuple[Tensor, Tensor]:
    """Return the features of the N patches that have texture, (N, 36), and their sharpness, (N,) (eq. 1-9)."""
    height, width = (extent // PATCH * PATCH for extent in photograph.shape[:2])
    if not height or not width:
        raise ValueError(f"NIQE needs {PATCH} pixels per side; this photograph is {photograph.shape[:2]}")
    grey = torch.from_numpy(luma(photograph[:height, :width]))[None, None]
    half = F.interpolate(grey, scale_factor=0.5, mode="bicubic", antialias=True)
    normal, deviation = _normalise(grey)
    coarse, _ = _normalise(half)
    features = torch.cat((_features(_patches(normal, PATCH)), _features(_patches(coarse, PATCH // 2))), 1)
    textured = features.isfinite().all(1)
    if not textured.any():
        raise ValueError("NIQE needs texture; every patch of this photograph is flat")
    return features[textured], _patches(deviation, PATCH).mean((1, 2))[textured]


def _normalise(grey: Tensor) -> tuple[Tensor, Tensor]:
    """Subtract the local mean and divide by the local deviation; return that and the deviation (eq. 1-3)."""
    line = torch.exp(-0.5 * (torch.arange(-_RADIUS, _RADIUS + 1, dtype=torch.float64) / _SIGMA) ** 2)
    window = torch.outer(line, line)[None, None] / line.sum() ** 2
    padded = F.pad(grey, (_RADIUS,) * 4, mode="replicate")
    mean = F.conv2d(padded, window)
    deviation = (F.conv2d(padded**2, window) - mean**2).clamp(min=0).sqrt()
    return (grey - mean) / (deviation + 1), deviation


def _patches(plane: Tensor, side: int) -> Tensor:
    """Cut (1, 1, H, W) into patches, (N, side, side), row by row."""
    return plane[0, 0].unfold(0, side, side).unfold(1, side, side).flatten(0, 1)


def _features(patches: Tensor) -> Tensor:
    """Return 18 features per patch: shape and scale, and four for each of four neighbour products (eq. 4-9)."""
    neighbours = (
        patches[:, :, :-1] * patches[:, :, 1:],
        patches[:, :-1] * patches[:, 1:],
        patches[:, :-1, :-1] * patches[:, 1:, 1:],
        patches[:, :-1, 1:] * patches[:, 1:, :-1],
    )
    products = [torch.stack(asymmetric_gaussian(product.flatten(1)), 1) for product in neighbours]
    return torch.cat((torch.stack(generalised_gaussian(patches.flatten(1)), 1), *products), 1)


def generalised_gaussian(values: Tensor) -> tuple[Tensor, Tensor]:
    """Fit a zero-mean generalised gaussian to each row by its moments; return shape and scale (eq. 4)."""
    power = values.square().mean(1)
    shape = _shape(values.abs().mean(1) ** 2 / power)
    return shape, _scale(power.sqrt(), shape)


def asymmetric_gaussian(values: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Fit an asymmetric generalised gaussian to each row by its moments.

    Return shape, mean, left scale and right scale (eq. 7-9; Lasmar, Stitou and Berthoumieu, ICIP 2009), nan for a
    row without values on one side of zero.
    """
    left, right = (
        (values.square() * side).sum(1).div(side.sum(1)).sqrt() for side in (values < 0, values > 0)
    )
    skew = left / right
    ratio = values.abs().mean(1) ** 2 / values.square().mean(1)
    shape = _shape(ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2)
    left, right = _scale(left, shape), _scale(right, shape)
    mean = (right - left) * torch.exp(torch.lgamma(2 / shape) - torch.lgamma(1 / shape))
    return shape, mean, left, right


def _shape(ratio: Tensor) -> Tensor:
    """Return the shape whose squared mean magnitude over mean square is `ratio`: 0.2 to 10 in steps of 0.001."""
    shapes = torch.arange(200, 10_001, dtype=torch.float64) / 1000
    # These rise with the shape.
    ratios = torch.exp(2 * torch.lgamma(2 / shapes) - torch.lgamma(1 / shapes) - torch.lgamma(3 / shapes))
    nearest = shapes[torch.searchsorted(ratios, ratio.contiguous()).clamp(max=len(shapes) - 1)]
    return torch.where(ratio.isnan(), ratio, nearest)


def _scale(deviation: Tensor, shape: Tensor) -> Tensor:
    return deviation * torch.exp(0.5 * (torch.lgamma(1 / shape) - torch.lgamma(3 / shape)))


def gaussian_of(features: Tensor) -> NaturalModel:
    """Fit a gaussian to the features of patches, (N, 36)."""
    centred = features - features.mean(0)
    return NaturalModel(features.mean(0), centred.T @ centred / max(len(features) - 1, 1))
