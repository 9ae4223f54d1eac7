"""Harvest of real rain streaks from accepted pseudo-labels (`harvest_accepted`), for synthetic rain."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl

from infra.catalog.pool import Pool
from infra.catalog.pseudo_labels import PseudoLabels
from infra.catalog.streak_bank import Layer, StreakLayers
from models.rain.streak_mining import StreakRules, harvest_streaks

MOST_LAYERS = 2048
"""Largest number of layers per run: 32 MiB."""
_AT_ONCE = 16


def harvest_accepted(workspace: str, crops: pl.DataFrame) -> int:
    """Cut streaks from the accepted crops of each run that was not harvested yet; return their number.

    Pixels with a confidence of 0 are ignored.
    """
    bank, accepted = StreakLayers(workspace), PseudoLabels(workspace).accepted()
    missing = [run_id for run_id in accepted["run_id"].unique().sort() if not bank.has(run_id)]
    return sum(
        _harvest(workspace, bank, crops, accepted.filter(pl.col("run_id") == run_id)) for run_id in missing
    )


def _harvest(workspace: str, bank: StreakLayers, crops: pl.DataFrame, labels: pl.DataFrame) -> int:
    """Write the layers of one run, at most `MOST_LAYERS`."""
    layers: list[Layer] = []
    owners: list[str] = []
    refused: Counter[str] = Counter()
    side = StreakRules().side
    for part in labels.iter_slices(_AT_ONCE):
        for crop_id, rainy, derained in _pairs(workspace, crops, part):
            harvest = harvest_streaks([rainy], [derained])
            refused.update(harvest.refused)
            whole = [layer for layer in harvest.layers if layer.shape == (side, side)]
            layers += whole
            owners += [crop_id] * len(whole)
        if len(layers) >= MOST_LAYERS:
            break
    bank.write(labels["run_id"][0], layers[:MOST_LAYERS], owners[:MOST_LAYERS], dict(refused))
    return min(len(layers), MOST_LAYERS)


def _pairs(
    workspace: str, crops: pl.DataFrame, part: pl.DataFrame
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Yield the valid parts of rainy crops and their pseudo-labels, equal to the crop where the confidence is 0."""
    rows = crops.filter(pl.col("crop_id").is_in(part["crop_id"].implode())).sort("crop_id")
    part = part.filter(pl.col("crop_id").is_in(rows["crop_id"].implode())).sort("crop_id")
    rainy, found = Pool(workspace).pixels(rows), PseudoLabels(workspace).pixels(part)
    pairs = []
    for number, row in enumerate(rows.iter_rows(named=True)):
        valid = (slice(0, row["height"]), slice(0, row["width"]))
        sure = found.confidence[number][valid][..., None] > 0
        before = rainy[number][valid]
        pairs.append((row["crop_id"], before, np.where(sure, found.pseudo_label[number][valid], before)))
    return pairs
