"""Background estimation (`temporal_background`) from neighbouring frames of a static or registrable camera.

Rain moves and the scene does not, so the median of registered frames is a pseudo-label without any network.
SPA-Data (Wang et al., CVPR 2019) and GT-RAIN (Ba et al., ECCV 2022) obtained their labels in this way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from models.images import RgbImage

Floats = npt.NDArray[np.float32]

GIVE_UP = 3
"""Number of neighbours after which registration is given up if none of them can be registered."""
MOST_SHIFT = 12.0
"""Maximum shift in pixels, which bounds the loss at the borders; frames farther apart are not used."""
LEAST_CORRELATION = 0.85
"""Minimum correlation of a registered frame with the judged one, on grey levels; below it the scene differs."""
STATIC_SPREAD = 8.0
"""Maximum grey-level difference of median and tenth percentile: rain only brightens, motion also darkens."""


@dataclass(frozen=True, slots=True)
class TemporalBackground:
    """A background and its reliability."""

    background: RgbImage
    confidence: npt.NDArray[np.uint8]
    """(H, W) uint8: 255 where the scene is static and covered by all frames."""
    frames: int


class NotRegistrable(Exception):
    """Raised if too few frames show the same scene from the same place; the message says how many do."""


def temporal_background(
    judged: RgbImage, neighbours: Iterable[RgbImage], least_frames: int = 5
) -> TemporalBackground:
    """Estimate the background of a frame from its neighbours.

    Parameters
    ----------
    judged : ndarray
        (H, W, 3) uint8.
    neighbours : iterable of ndarray
        The same part of other frames of the camera, of the same size.
    least_frames : int
        Minimum number of registered frames, including the judged one; with fewer, rain may overlap at a pixel.

    Raises
    ------
    NotRegistrable
        If too few neighbours can be registered to the frame.
    """
    registered = [judged.astype(np.float32), *_registered(judged, neighbours)]
    if len(registered) < least_frames:
        raise NotRegistrable(
            f"{len(registered) - 1} neighbouring frames can be registered, {least_frames - 1} are needed"
        )
    stack = np.stack(registered)  # (T, H, W, 3), NaN where a shifted frame does not reach
    covered = np.isfinite(stack[..., 0]).sum(axis=0)
    stack[:, covered < least_frames] = registered[0][covered < least_frames]
    stack.sort(axis=0)  # NaN is sorted last
    low, middle = (_percentile(stack, np.maximum(covered, 1), share) for share in (0.1, 0.5))
    spread = ndimage.uniform_filter((middle - low).mean(axis=-1), 5)
    static = np.clip(2 - spread / STATIC_SPREAD, 0, 1) * (covered >= least_frames)
    return TemporalBackground(
        background=middle.round().astype(np.uint8),
        confidence=(255 * static).round().astype(np.uint8),
        frames=len(registered),
    )


def _registered(judged: RgbImage, neighbours: Iterable[RgbImage]) -> list[Floats]:
    """Register neighbours to the judged frame; give up if the first few cannot be registered."""
    reference = _structure(judged)
    registered, refused = [], 0
    for neighbour in neighbours:
        aligned = _align(reference, neighbour)
        if aligned is not None:
            registered.append(aligned)
            continue
        refused += 1
        if refused == GIVE_UP and not registered:
            break
    return registered


def _align(reference: Floats, neighbour: RgbImage) -> Floats | None:
    """Shift a frame onto the reference; None if it is too far away or shows another scene."""
    from skimage.registration import phase_cross_correlation  # slow to import

    moving = _structure(neighbour)
    if moving.shape != reference.shape:
        return None
    halves, _, _ = phase_cross_correlation(reference, moving, upsample_factor=20)
    shift = 2 * halves
    if np.abs(shift).max() > MOST_SHIFT:
        return None
    if _correlation(reference, _shifted(moving, halves)) < LEAST_CORRELATION:
        return None
    floats = neighbour.astype(np.float32)
    return np.stack([_shifted(floats[..., channel], shift) for channel in range(3)], axis=-1)


def _structure(pixels: RgbImage) -> Floats:
    """Return grey levels at half size without thin lines, so that rain streaks do not affect registration."""
    grey = pixels.mean(axis=-1, dtype=np.float32)
    height, width = (extent // 2 * 2 for extent in grey.shape)
    halved = grey[:height, :width].reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
    smooth: Floats = ndimage.median_filter(halved, size=7)
    return smooth


def _percentile(ordered: Floats, counts: npt.NDArray[np.intp], share: float) -> Floats:
    """Interpolate between the sorted frames of each pixel, of which the first `counts` (H, W) are valid."""
    place = share * (counts - 1)
    below = np.floor(place).astype(np.intp)
    above = np.minimum(below + 1, counts - 1)
    lower, upper = (np.take_along_axis(ordered, at[None, ..., None], axis=0)[0] for at in (below, above))
    found: Floats = lower + (upper - lower) * (place - below)[..., None].astype(np.float32)
    return found


def _shifted(picture: Floats, shift: npt.NDArray[np.float64]) -> Floats:
    if np.abs(shift).max() < 0.05:  # a static camera: avoid blur by interpolation
        return picture
    moved: Floats = ndimage.shift(picture, shift, order=1, mode="constant", cval=np.nan)
    return moved


def _correlation(first: Floats, second: Floats) -> float:
    both = np.isfinite(first) & np.isfinite(second)
    if both.sum() < 16:
        return 0.0
    ours, theirs = first[both] - first[both].mean(), second[both] - second[both].mean()
    spread = float(np.linalg.norm(ours) * np.linalg.norm(theirs))
    return float(ours @ theirs) / spread if spread > 0 else 0.0
