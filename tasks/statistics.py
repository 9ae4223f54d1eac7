"""Label-free statistics of an image and its derained version (`image_statistics`), cheap enough for every image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from infra.records import ImageStatistics
from models.images import RgbImage

_ENOUGH_PIXELS = 400_000


def image_statistics(rainy: RgbImage, derained: RgbImage) -> ImageStatistics:
    """Measure how much deraining changed an image, and basic properties of the rainy image.

    Rain energy and sharpness of a large image use every n-th row, about 400,000 pixels in total.

    Parameters
    ----------
    rainy, derained
        (H, W, 3), of one shape.

    Returns
    -------
    ImageStatistics
        In units of the full grey range: `rain_energy`, the mean absolute difference of the two images; and the
        mean (`brightness`), standard deviation (`contrast`) and mean absolute Laplacian (`sharpness`) of the rainy
        image's luma (BT.601). The Laplacian has four neighbours and excludes the border; it is 0 below three
        pixels per side.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if rainy.shape != derained.shape:
        raise ValueError(f"rainy {rainy.shape} and derained {derained.shape} differ in shape")
    step = max(1, rainy.shape[0] * rainy.shape[1] // _ENOUGH_PIXELS)
    luma = Image.fromarray(rainy).convert("L")
    mean, deviation = _moments(luma)
    return ImageStatistics(
        rain_energy=_mean_absolute_difference(rainy[::step], derained[::step]) / 255,
        brightness=mean / 255,
        contrast=deviation / 255,
        sharpness=_mean_absolute_laplacian(np.asarray(luma), step) / 255,
    )


def _moments(luma: Image.Image) -> tuple[float, float]:
    # The histogram of 256 grey levels makes this exact at any size.
    counts, levels = np.array(luma.histogram()), np.arange(256)
    mean = float(counts @ levels) / counts.sum()
    variance = float(counts @ (levels - mean) ** 2) / counts.sum()
    return float(mean), float(np.sqrt(variance))


def _mean_absolute_difference(first: RgbImage, second: RgbImage) -> float:
    # Maximum minus minimum stays in eight bits, and therefore in cache.
    return float(np.mean(np.maximum(first, second) - np.minimum(first, second)))


def _mean_absolute_laplacian(luma: RgbImage, step: int) -> float:
    if min(luma.shape) < 3:
        return 0.0
    above, here, below = (_wide(luma[first:last:step]) for first, last in ((0, -2), (1, -1), (2, None)))
    laplacian = 4 * here[:, 1:-1] - here[:, :-2] - here[:, 2:] - above[:, 1:-1] - below[:, 1:-1]
    return float(np.mean(np.abs(laplacian)))


def _wide(rows: RgbImage) -> npt.NDArray[np.int16]:
    return rows.astype(np.int16)
