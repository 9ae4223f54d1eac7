"""The material of a fine-tuning: streaks and temporal backgrounds that curation accepted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from infra.catalog.pool_zarr import CROP_SIDE
from infra.catalog.pseudo_label_zarr import PseudoPixels, write_group
from infra.catalog.pseudo_labels import PseudoLabels
from infra.catalog.streak_bank import StreakLayers
from infra.settings import Settings
from models.rain.streak_mining import StreakBankEmpty
from models.training.semi.config import SemiConfig
from tasks.curation.acceptance import AGREE, REVIEWER, TEMPORAL
from tasks.training.finetuning_material import Labelled, material_at
from tasks.training.unlabelled import POOL
from tests.support.worlds.pools import ACCEPTED, rainy_crops, write_pool


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(workspace=str(tmp_path / "workspace"), _env_file=None)


def test_streaks_of_the_pool_are_those_of_what_is_accepted_now(settings: Settings):
    ids = write_pool(settings.workspace, rainy_crops(3))
    with pytest.raises(StreakBankEmpty, match=r"no streaks .*: python -m flows\.curate takes them"):
        material_at(settings, POOL, SemiConfig())
    labels, side = PseudoLabels(settings.workspace), (CROP_SIDE, CROP_SIDE)
    pixels = PseudoPixels(np.zeros((*side, 3), np.uint8), np.zeros(side, np.uint8))
    write_group(settings.workspace, "pseudo/r0.zarr", [pixels] * 3)
    rows = [replace(ACCEPTED, crop_id=crop, zarr_row=row) for row, crop in enumerate(ids)]
    labels.commit(rows, replace=False)
    layers = {crop: np.full((8, 8), level, np.uint8) for level, crop in enumerate(ids, 1)}
    StreakLayers(settings.workspace).write("r0", list(layers.values()), ids, {"noise": 2})
    held_out = ids.index(min(ids)) + 1
    assert levels(settings) == ({1, 2, 3} - {held_out}, {held_out})
    rejected = replace(ACCEPTED, crop_id=ids[0], decision="rejected", reviewer_decision="reject", run_id="r1")
    labels.commit([replace(rejected, decided_at=ACCEPTED.decided_at + timedelta(hours=1))], replace=False)
    assert set.union(*levels(settings)) == {2, 3}


def levels(settings: Settings) -> tuple[set[int], set[int]]:
    """Return the grey levels of the layers for training and of those for validation."""
    streaks = material_at(settings, POOL, SemiConfig()).streaks
    assert streaks is not None
    assert streaks.description.endswith(" accepted, 2 noise")
    return set(streaks.training.pixels.unique().tolist()), set(streaks.judging.pixels.unique().tolist())


def test_accepted_pseudo_labels_become_targets():
    pictures = [np.full((40, 48, 3), level, np.uint8) for level in (10, 90)]
    labels = Labelled(pictures, pictures, [np.full((40, 48), 255, np.uint8)] * 2)
    targets = labels.targets()
    assert (len(targets), targets.confidence.pixels.shape) == (2, (2 * 40 * 48, 1))


def test_temporal_backgrounds_are_apart_and_some_cameras_are_held_out(settings: Settings):
    ids = sorted(write_pool(settings.workspace, rainy_crops(4)))
    labels, side = PseudoLabels(settings.workspace), (CROP_SIDE, CROP_SIDE)
    levels = [np.full((*side, 3), level, np.uint8) for level in (10, 20, 30, 40)]
    pixels = [PseudoPixels(level, np.full(side, 255, np.uint8)) for level in levels]
    write_group(settings.workspace, "pseudo/r0.zarr", pixels)
    made = [(AGREE, None, 1), (TEMPORAL, 5, 1), (TEMPORAL, 5, 2), (REVIEWER, 5, 2)]  # frames, camera
    labels.commit(
        [
            replace(
                ACCEPTED,
                crop_id=crop,
                zarr_row=row,
                rule=rule,
                frames=frames,
                source_group=f"camera-{camera}",
            )
            for row, (crop, (rule, frames, camera)) in enumerate(zip(ids, made, strict=True))
        ],
        replace=False,
    )
    StreakLayers(settings.workspace).write("r0", [np.full((8, 8), 9, np.uint8)], ids[:1], {})
    assert target_levels(settings, SemiConfig()) == [{30, 40}, {20}]  # a network's output is not a target
    assert target_levels(settings, SemiConfig(temporal=0)) == [
        None,
        None,
    ]  # targets without weight are not read


def target_levels(settings: Settings, semi: SemiConfig) -> list[set[int] | None]:
    """Return the grey levels of temporal backgrounds for training, and of those for choosing weights."""
    found = material_at(settings, POOL, semi)
    assert found.streaks is not None
    rain = found.real_rain(found.streaks)
    parts = (rain.temporal, rain.held_out_temporal)
    return [None if part is None else set(part.target.pixels.unique().tolist()) for part in parts]
