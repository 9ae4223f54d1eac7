"""Real rain for a fine-tuning (`material_at`): photographs, temporal backgrounds, and streaks of accepted crops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch

from infra.catalog.pool import Pool
from infra.catalog.pseudo_labels import PseudoLabels
from infra.catalog.streak_bank import StreakLayers
from infra.settings import Settings
from models.images import RgbImage
from models.modelfile import ModelFile
from models.opening import open_engine
from models.rain.banks import Bank, bank_of
from models.rain.streak_mining import HOLD_OUT_EVERY, StreakBankEmpty, harvest_streaks, split_layers
from models.training.distill.teacher_targets import MOST_PHOTOGRAPHS, evenly
from models.training.semi.config import SemiConfig
from models.training.semi.data import RealRain, Targets
from tasks.readable import by_reason
from tasks.training.unlabelled import POOL, unlabelled_photographs, without_padding

MOST_LAYERS = 2048
"""Largest number of layers of rain from the pool: 32 MiB."""
SIDE = 512
"""Largest side in pixels; larger photographs are cropped to their centre."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Rainy photographs with targets and a confidence per pixel, 0 to 255."""

    rainy: Sequence[RgbImage]
    target: Sequence[RgbImage]
    confidence: Sequence[RgbImage]
    """Confidence maps, (H, W) uint8 each."""

    def targets(self) -> Targets:
        """Return them as banks."""
        return Targets(
            _bank(self.rainy), _bank(self.target), _bank([part[..., None] for part in self.confidence])
        )


@dataclass(frozen=True, slots=True)
class Streaks:
    """Layers of real rain for training and, from other photographs, for validation."""

    training: Bank
    judging: Bank
    description: str
    """Numbers of accepted and refused windows, in words."""


@dataclass(frozen=True, slots=True)
class Backgrounds:
    """Accepted temporal backgrounds, if any."""

    training: Labelled | None = None
    held_out: Labelled | None = None
    """Temporal backgrounds of other source groups, with which weights are chosen."""


@dataclass(frozen=True, slots=True)
class Material:
    """Unlabelled photographs and, from the pool, accepted temporal backgrounds and streaks."""

    photographs: Sequence[RgbImage]
    temporal: Backgrounds = Backgrounds()
    streaks: Streaks | None = None

    def real_rain(self, streaks: Streaks) -> RealRain:
        """Return everything as banks."""
        temporal, held_out = (
            None if labels is None else labels.targets()
            for labels in (self.temporal.training, self.temporal.held_out)
        )
        photographs = _bank(self.photographs)
        return RealRain(photographs, streaks.training, streaks.judging, temporal, held_out)


def material_at(settings: Settings, place: str, semi: SemiConfig) -> Material:
    """Fetch rainy photographs, cropped to at most 512 pixels per side, and the pseudo-labels accepted by curation.

    Parameters
    ----------
    settings : Settings
        Workspace of the pool; images of more than `max_pixels` are skipped.
    place : str
        `pool`, or a folder or bucket prefix.
    semi : SemiConfig
        Loss weights; temporal backgrounds with a weight of 0 are not read.

    Raises
    ------
    FileNotFoundError
        If there is none; the message names the place, and why the first image was skipped.
    StreakBankEmpty
        If curation has cut no streaks from the pool.
    """
    photographs = [_middle(each) for each in unlabelled_photographs(settings, place)]
    if place != POOL:
        return Material(photographs)
    backgrounds = _temporal_backgrounds(settings.workspace) if semi.temporal else Backgrounds()
    return Material(photographs, backgrounds, _curated_streaks(settings.workspace))


def _curated_streaks(workspace: str) -> Streaks:
    """Read at most `MOST_LAYERS` streak layers that curation cut from currently accepted crops."""
    stored = StreakLayers(workspace).read(MOST_LAYERS)
    image_of = dict(Pool(workspace).crops("train").select("crop_id", "image_id").iter_rows())
    found = [(image_of[crop_id], layer) for crop_id, layer in stored.layers if crop_id in image_of]
    if not found:
        raise StreakBankEmpty(
            f"no streaks of real rain in the pool of {workspace} ({by_reason(stored.refused) or 'none examined'}):"
            " python -m flows.curate takes them from the pseudo-labels that it accepts, and python -m flows.ingest"
            " adds photographs"
        )
    layers = evenly(found, MOST_LAYERS)
    return Streaks(*split_layers(layers), _describe(len(layers), stored.refused))


def _temporal_backgrounds(workspace: str) -> Backgrounds:
    """Read the accepted temporal backgrounds; hold out those of every fourth source group.

    Accepted outputs of networks are not used as targets; only their streaks are used.
    """
    is_still = pl.col("frames").is_not_null()  # the rule is not a criterion, because reviewers replace it
    stills = PseudoLabels(workspace).accepted().filter(is_still)
    groups = sorted(stills["source_group"].unique())
    held_out = pl.col("source_group").is_in(groups[::HOLD_OUT_EVERY] if len(groups) > 1 else [])
    return Backgrounds(*(_labelled(workspace, stills.filter(part)) for part in (~held_out, held_out)))


def _labelled(workspace: str, accepted: pl.DataFrame) -> Labelled | None:
    """Read the crops and pseudo-labels of a bounded number of ledger rows; None if there is no row."""
    if accepted.is_empty():
        return None
    pool, labels = Pool(workspace), PseudoLabels(workspace)
    rows = accepted[evenly(range(accepted.height), MOST_PHOTOGRAPHS)]
    crops = rows.select("crop_id").join(pool.crops(), on="crop_id", how="left", maintain_order="left")
    pixels = labels.pixels(rows)
    rainy, target, confidence = (
        without_padding(list(part), crops)
        for part in (pool.pixels(crops), pixels.pseudo_label, pixels.confidence)
    )
    return Labelled(rainy, target, confidence)


def harvested(start: ModelFile, photographs: Sequence[RgbImage], device: str) -> Streaks:
    """Cut streaks from photographs with the network from which the training starts.

    Raises
    ------
    StreakBankEmpty
        If none were accepted.
    """
    engine = open_engine(start, device)
    harvest = harvest_streaks(photographs, [engine.derain(each[None])[0] for each in photographs])
    return Streaks(*harvest.split(), _describe(len(harvest.layers), harvest.refused))


def _describe(accepted: int, refused: Mapping[str, int]) -> str:
    return ", ".join(part for part in (f"{accepted:,} accepted", by_reason(refused)) if part)


def _middle(rgb: RgbImage) -> RgbImage:
    top, left = (max(0, extent - SIDE) // 2 for extent in rgb.shape[:2])
    return np.ascontiguousarray(rgb[top : top + SIDE, left : left + SIDE])


def _bank(pictures: Sequence[RgbImage]) -> Bank:
    return bank_of([torch.from_numpy(np.ascontiguousarray(picture)) for picture in pictures])
