"""What a fine-tuning sees of real rain: photographs, pseudo-labels, and the streaks that are in them."""

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
from models.engine import Engine, choose_device, fast_dtype
from models.images import RgbImage
from models.modelfile import ModelFile, build
from models.rain.banks import Bank, bank_of
from models.rain.streak_mining import HOLD_OUT_EVERY, StreakBankEmpty, harvest_streaks, split_layers
from models.training.distill.teacher_targets import MOST_PHOTOGRAPHS, evenly
from models.training.semi.config import SemiConfig
from models.training.semi.data import RealRain, Targets
from tasks.curation.streak_harvest import MOST_LAYERS
from tasks.training.unlabelled import POOL, unlabelled_photographs, without_padding

SIDE = 512
"""Larger photographs are cut to their middle."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Rainy photographs with targets, and how far each pixel is trusted, 0 to 255."""

    rainy: Sequence[RgbImage]
    target: Sequence[RgbImage]
    confidence: Sequence[RgbImage]
    """(H, W) each."""

    def targets(self) -> Targets:
        """Put them into banks."""
        return Targets(
            _bank(self.rainy), _bank(self.target), _bank([part[..., None] for part in self.confidence])
        )


@dataclass(frozen=True, slots=True)
class Streaks:
    """Layers of real rain: to train on, and, of other photographs, to judge by."""

    training: Bank
    judging: Bank
    told: str
    """What came of the windows that were looked at, in words."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Accepted pseudo-labels, where there are any, apart by what they were made of."""

    of_networks: Labelled | None = None
    """What networks made."""
    temporal: Labelled | None = None
    """Temporal backgrounds."""
    held_out_temporal: Labelled | None = None
    """Those of other source groups: weights are chosen by them."""


@dataclass(frozen=True, slots=True)
class Material:
    """Unlabelled photographs; of the pool, what was accepted, and its streaks too."""

    photographs: Sequence[RgbImage]
    accepted: Accepted = Accepted()
    streaks: Streaks | None = None

    def real_rain(self, streaks: Streaks) -> RealRain:
        """Put everything into banks."""
        found = self.accepted
        of_networks, temporal, held_out = (
            None if labels is None else labels.targets()
            for labels in (found.of_networks, found.temporal, found.held_out_temporal)
        )
        photographs = _bank(self.photographs)
        return RealRain(photographs, streaks.training, streaks.judging, of_networks, temporal, held_out)


def material_at(settings: Settings, place: str, semi: SemiConfig) -> Material:
    """Fetch rainy photographs, cut to at most 512 pixels a side; of the pool what was curated too, where it counts.

    Parameters
    ----------
    settings : Settings
        Workspace of the pool; images of more than `max_pixels` are left out.
    place : str
        `pool`, or a folder or bucket prefix.
    semi : SemiConfig
        Weights: pseudo-labels that weigh nothing are not read.

    Raises
    ------
    FileNotFoundError
        If there is none; names the place, and why the first one was left out.
    StreakBankEmpty
        If curation took no streaks from the pool.
    """
    photographs = [_middle(each) for each in unlabelled_photographs(settings, place)]
    if place != POOL:
        return Material(photographs)
    return Material(photographs, _accepted(settings.workspace, semi), _curated_streaks(settings.workspace))


def _curated_streaks(workspace: str) -> Streaks:
    """Read the streaks that curation took from what is accepted now, at most `MOST_LAYERS`."""
    stored = StreakLayers(workspace).read()
    image_of = dict(Pool(workspace).crops("train").select("crop_id", "image_id").iter_rows())
    found = [(image_of[crop_id], layer) for crop_id, layer in stored.layers if crop_id in image_of]
    if not found:
        raise StreakBankEmpty(
            f"no streaks of real rain in the pool of {workspace} ({_counted(stored.refused) or 'none looked at'}):"
            " python -m flows.curate takes them from the pseudo-labels that it accepts"
        )
    layers = evenly(found, MOST_LAYERS)
    return Streaks(*split_layers(layers), _told(len(layers), stored.refused))


def _accepted(workspace: str, semi: SemiConfig) -> Accepted:
    """Read what curation accepted; of temporal backgrounds every fourth source group is held out."""
    accepted = PseudoLabels(workspace).accepted()
    is_still = pl.col("frames").is_not_null()  # the rule would not tell: reviewers put theirs in its place
    stills = accepted.filter(is_still)
    groups = sorted(stills["source_group"].unique())
    held_out = pl.col("source_group").is_in(groups[::HOLD_OUT_EVERY] if len(groups) > 1 else [])
    weighed = (
        (semi.pseudo_label, accepted.filter(~is_still)),
        (semi.temporal, stills.filter(~held_out)),
        (semi.temporal, stills.filter(held_out)),
    )
    return Accepted(*(_labelled(workspace, rows) if weight else None for weight, rows in weighed))


def _labelled(workspace: str, accepted: pl.DataFrame) -> Labelled | None:
    """Read crops and pseudo-labels of rows of the ledger, a bounded number; None where there is no row."""
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
    """Take streaks out of photographs with the network that the training starts from.

    Raises
    ------
    StreakBankEmpty
        If none were accepted.
    """
    chosen = choose_device(device)
    engine = Engine(build(start), chosen, fast_dtype(chosen))
    harvest = harvest_streaks(photographs, [engine.derain(each[None])[0] for each in photographs])
    return Streaks(*harvest.split(), _told(len(harvest.layers), harvest.refused))


def _told(accepted: int, refused: Mapping[str, int]) -> str:
    return ", ".join(part for part in (f"{accepted} accepted", _counted(refused)) if part)


def _counted(refused: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in refused.items())


def _middle(rgb: RgbImage) -> RgbImage:
    top, left = (max(0, extent - SIDE) // 2 for extent in rgb.shape[:2])
    return np.ascontiguousarray(rgb[top : top + SIDE, left : left + SIDE])


def _bank(pictures: Sequence[RgbImage]) -> Bank:
    return bank_of([torch.from_numpy(np.ascontiguousarray(picture)) for picture in pictures])
