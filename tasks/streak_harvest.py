"""Streaks of real rain from the pseudo-labels that a run accepted, for the bank that clean photographs are rained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import polars as pl

from infra.pool import Pool
from infra.pseudo_labels import PseudoLabels
from infra.records import PseudoLabelRecord
from infra.streak_layers import Layer, StreakLayers
from models.streak_bank import harvest_streaks

MOST_LAYERS = 2048
"""Of one run: 32 MiB."""
_AT_ONCE = 16


def harvest_accepted(
    workspace: str, run_id: str, crops: pl.DataFrame, rows: Sequence[PseudoLabelRecord]
) -> int:
    """Cut streaks out of what was accepted, judge and keep them; return how many there are.

    Nothing is taken where the confidence is 0: there the pseudo-label is put in place of the rainy crop first.
    """
    accepted = {row.crop_id for row in rows if row.decision == "accepted"}
    labels = PseudoLabels(workspace).accepted().filter(pl.col("crop_id").is_in(list(accepted)))
    layers: list[Layer] = []
    owners: list[str] = []
    refused: Counter[str] = Counter()
    for part in labels.iter_slices(_AT_ONCE):
        for crop_id, rainy, derained in _pairs(workspace, crops, part):
            harvest = harvest_streaks([rainy], [derained])
            refused.update(harvest.refused)
            layers += harvest.layers
            owners += [crop_id] * len(harvest.layers)
        if len(layers) >= MOST_LAYERS:
            break
    usable = [place for place, layer in enumerate(layers) if layer.shape == layers[0].shape][:MOST_LAYERS]
    if accepted:
        StreakLayers(workspace).write(
            run_id, [layers[place] for place in usable], [owners[place] for place in usable], dict(refused)
        )
    return len(usable)


def _pairs(
    workspace: str, crops: pl.DataFrame, part: pl.DataFrame
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Read the valid part of rainy crops and their pseudo-labels, the same where nothing is sure."""
    rows = part.select("crop_id").join(crops, on="crop_id", how="inner", maintain_order="left")
    rainy, found = Pool(workspace).pixels(rows), PseudoLabels(workspace).pixels(part)
    pairs = []
    for number, row in enumerate(rows.iter_rows(named=True)):
        valid = (slice(0, row["height"]), slice(0, row["width"]))
        sure = found.confidence[number][valid][..., None] > 0
        before = rainy[number][valid]
        pairs.append((row["crop_id"], before, np.where(sure, found.pseudo_label[number][valid], before)))
    return pairs
