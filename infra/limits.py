"""Groups of settings that limit what is accepted: `GateLimits`, `CurationLimits`, `IngestLimits`, `DriftLimits`."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from infra.settings_group import SettingsGroup


class GateLimits(SettingsGroup):
    """Largest losses allowed to a challenger, as upper bounds of intervals; `DERAIN_GATES__PSNR_Y` and so on."""

    min_images: int = Field(default=20, ge=2)
    """Minimum number of pairs of a validation set for a decision."""
    min_scenes: int = Field(default=10, ge=2)
    """Minimum number of scenes for a decision, and of scenes of real rain for probes to be planted there."""
    psnr_y: float = Field(default=0.1, ge=0)
    """Loss of PSNR in dB on rainy photographs."""
    ssim_y: float = Field(default=0.002, ge=0)
    """Loss of SSIM on rainy photographs."""
    rain_recall: float = Field(default=0.03, ge=0)
    """Loss in the share of planted rain that is removed."""
    detail_kept: float = Field(default=0.02, ge=0)
    """Loss in the share of planted detail that is kept."""
    clean_change: float = Field(default=0.25, ge=0)
    """Grey levels (of 255) by which the challenger may alter clean photographs more than the champion does."""
    latency_ratio: float = Field(default=1.1, gt=0)
    """Ratio of the challenger's time per photograph to the champion's."""


class CurationLimits(SettingsGroup):
    """Which pseudo-labels are accepted; `DERAIN_CURATION__QUOTA` and so on. Shares are in [0, 1]."""

    rain_found: float = Field(default=0.002, ge=0)
    """Minimum mean brightness of the rain that two independent networks, or the background, agree on."""
    agreement: float = Field(default=0.3, ge=0, le=1)
    """Minimum share of the detected rain that both the judged and the independent network detected."""
    informedness: float = Field(default=0.3, ge=-1, le=1)
    """Minimum of rain recall + detail kept - 1, measured with probes planted on the crop."""
    detail_kept: float = Field(default=0.5, ge=0)
    """Minimum share of planted detail that is kept."""
    structure_leak: float = Field(default=0.9, ge=0, le=1)
    """Maximum correlation of the removed layer with the structure of the background, where there is no rain."""
    feature_distance: float = Field(default=3.0, gt=0)
    """Maximum feature distance of a pseudo-label; labelled photographs themselves have about 1."""
    score: float = Field(default=0.4, ge=0, le=1)
    """Minimum score; pseudo-labels are ranked by it."""
    confident: float = Field(default=0.002, ge=0, le=1)
    """Minimum mean of the confidence map; with less, there is nothing to learn."""
    quota: int = Field(default=20, ge=1)
    """Maximum number of crops per source group that rules accept, best first; reviewers may accept as many more."""
    frames: int = Field(default=5, ge=3)
    """Minimum number of frames for a temporal background."""
    static: float = Field(default=0.5, ge=0, le=1)
    """Minimum share of a temporal background that is static."""
    neighbours: int = Field(default=8, ge=0)
    """Number of frames of the same camera that are considered for a temporal background; 0 disables them."""
    task_crops: int = Field(default=8, ge=1)
    """Number of crops that a worker judges per task."""


class IngestLimits(SettingsGroup):
    """Limits on what enters the pool; `DERAIN_INGEST__MIN_SIDE` and so on."""

    min_side: int = Field(default=128, ge=2)
    """Minimum length of the shorter side of an image in pixels."""
    min_sharpness: float = Field(default=0.006, ge=0)
    """Minimum mean absolute Laplacian of the luma in [0, 1]; below it, an image or crop counts as blurred."""
    min_contrast: float = Field(default=0.02, ge=0)
    """Minimum standard deviation of the luma in [0, 1]; below it, an image or crop counts as flat."""
    min_correlation: float = Field(default=0.5, ge=-1, le=1)
    """Minimum correlation of neighbouring pixels; below it, an image counts as noise."""
    near_duplicate_bits: int = Field(default=4, ge=0, le=32)
    """Maximum number of bits, of 64, in which the perceptual hashes of near duplicates differ."""
    crops_per_image: int = Field(default=4, ge=1, le=64)
    """Maximum number of crops per image."""
    group_pattern: str = r"^(.*?)\d*(?:\.\w+)?$"
    """Regular expression whose groups, matched in a key, name its camera and day. The default drops the number at
    the end of the key."""
    validation_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the images that are set aside for validation, in whole source groups."""
    grown_crops: int = Field(default=1000, ge=1)
    """Number of new crops since the last training at which `derain.pool.grown` is emitted."""

    @field_validator("group_pattern")
    @classmethod
    def _is_a_pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value


class DriftLimits(SettingsGroup):
    """When the newest photographs count as different from earlier ones; `DERAIN_DRIFT__ALPHA` and so on."""

    window: int = Field(default=200, ge=10)
    """Number of newest crops or images; they are compared with four times as many earlier ones."""
    alpha: float = Field(default=0.01, gt=0, lt=1)
    """Probability of a false alarm, for all tests of one run together."""
    feature_crops: int = Field(default=64, ge=10)
    """Crops per side from which the student extracts features."""
