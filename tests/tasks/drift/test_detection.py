"""Windows of runs, and drift between them, which is found if there is any and reported once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from infra.catalog.derained import Catalog
from infra.catalog.pool import Pool
from infra.catalog.pool_zarr import SHARD_CROPS, group_name, make_room, write_shard
from infra.limits import DriftLimits
from infra.records import PoolRecord
from infra.settings import Settings
from models.networks.student import PRESETS, Student
from tasks.drift import detection
from tasks.drift.detection import champion_features, look_for_drift, watch_drift
from tasks.drift.windows import Rows, split_windows
from tasks.pool.growth import emit_pool_grown
from tests.support.samples.pool_rows import START, pool_row
from tests.support.samples.records import record


def crop(run: int, number: int, generator: np.random.Generator, brightness: float = 0.5) -> PoolRecord:
    """Return a row of run `run`, from a separate camera."""
    figures = np.abs(generator.normal([brightness, 0.2, 0.1, 0.03], [0.05, 0.02, 0.02, 0.005]))
    values = dict(
        zip(("brightness", "contrast", "sharpness", "streak_energy"), map(float, figures), strict=True)
    )
    return pool_row(
        f"{run:04x}{number:028x}-0",
        source_group=f"/rain/cam{number}/",
        zarr_group=group_name(f"run-{run}"),
        zarr_row=number % SHARD_CROPS,
        run_id=f"run-{run}",
        ingested_at=START + timedelta(days=run),
        **values,
    )


def runs(workspace: Path, *brightness: float, crops: int = 20) -> Settings:
    """Write a pool with one run per brightness."""
    generator = np.random.default_rng(0)
    rows = [crop(run, n, generator, level) for run, level in enumerate(brightness) for n in range(crops)]
    Pool(str(workspace)).commit(rows, replace=False)
    limits = DriftLimits(window=crops, alpha=0.01, feature_crops=10)
    return Settings(workspace=str(workspace), drift=limits, _env_file=None)


def rows_of(settings: Settings) -> Rows:
    scan = Pool(settings.workspace).scan
    return Rows(scan, "ingested_at", ("crop_id",), ("brightness",))


def test_the_newest_runs_are_held_against_all_earlier_ones(tmp_path: Path) -> None:
    settings = runs(tmp_path, 0.5, 0.5, 0.5)
    windows = split_windows(rows_of(settings), 30, None)
    assert windows is None  # the two newest make a window, the one before does not
    windows = split_windows(rows_of(settings), 15, None)
    assert windows is not None
    assert (set(windows.newest["run_id"]), windows.newest.height) == ({"run-2"}, 15)
    assert (set(windows.reference["run_id"]), windows.reference.height) == ({"run-0", "run-1"}, 40)
    assert split_windows(rows_of(settings), 15, None).newest.equals(windows.newest)
    trained = split_windows(rows_of(settings), 15, START + timedelta(hours=1))
    assert set(trained.reference["run_id"]) == {"run-0"}


def test_a_single_run_and_no_run_have_nothing_to_be_compared_with(tmp_path: Path) -> None:
    assert look_for_drift(runs(tmp_path / "one", 0.5), features=False) == ()
    nothing = Settings(workspace=str(tmp_path / "none"), _env_file=None)
    assert watch_drift(nothing, 0) == ()


@pytest.mark.parametrize(("now", "alarms"), [(0.5, 0), (0.35, 1)])
def test_an_alarm_is_an_event_with_figures(now: float, alarms: int, tmp_path: Path) -> None:
    settings = runs(tmp_path, 0.5, 0.5, 0.5, now)
    with (
        mock.patch.object(detection, "emit_event") as emitted,
        mock.patch.object(detection, "_feature_views", return_value=[]),
    ):
        (view,) = watch_drift(settings, 20)
    assert (view.name, view.unit, view.newest, view.reference) == ("pool crops", "source group", 20, 60)
    # A camera is seen in several runs of the reference, and is one unit there.
    assert (view.newest_units, view.reference_units) == (20, 20)
    assert "20 of 20 source groups against 60 of 20" in view.line()
    assert (view.p_value <= 0.01) == bool(alarms)
    assert emitted.call_count == alarms
    if alarms:
        assert emitted.call_args.args[0] == "derain.drift"
        (reported,) = emitted.call_args.kwargs["payload"]["views"]
        before, after = reported["shifts"]["brightness"]
        assert (before, after) == pytest.approx((0.5, 0.35), abs=0.05)
        assert "brightness" in view.line()


def test_it_is_looked_for_once_a_window(tmp_path: Path) -> None:
    settings = runs(tmp_path, 0.5, 0.2)
    with mock.patch.object(detection, "look_for_drift", return_value=()) as looked:
        watch_drift(settings.model_copy(update={"drift": DriftLimits(window=50)}), 20)
        assert looked.call_count == 0
        (tmp_path / "signals" / "drift.json").unlink()
        watch_drift(settings, 20)
        watch_drift(settings, 20)  # without a new window
    assert looked.call_count == 1


def test_derained_images_are_a_separate_view(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    rows = [
        replace(
            record(f"{number}.png", minute=run),
            run_id=f"run-{run}",
            etag=f"{run}",
            **{
                name: float(generator.normal(0.2 + 0.2 * (run == 2), 0.05))
                for name in detection.IMAGE_STATISTICS
            },
        )
        for run in range(3)
        for number in range(20)
    ]
    Catalog(str(tmp_path)).commit(rows, replace=False)
    settings = Settings(workspace=str(tmp_path), drift=DriftLimits(window=20), _env_file=None)
    (view,) = look_for_drift(settings, features=False)
    assert (view.name, view.unit, view.p_value <= 0.01) == ("derained images", "image", True)


def test_the_champion_looks_at_the_pixels_of_the_pool(tmp_path: Path, monkeypatch: Any) -> None:
    settings = runs(tmp_path, 0.5, 0.5)
    dark, light = (np.full((SHARD_CROPS, 512, 512, 3), level, np.uint8) for level in (40, 200))
    for run, crops in ((0, dark), (1, light)):
        make_room(str(tmp_path), group_name(f"run-{run}"), 1)
        crops += np.arange(SHARD_CROPS, dtype=np.uint8)[:, None, None, None] % 8
        write_shard(
            str(tmp_path), group_name(f"run-{run}"), 0, crops, np.full((SHARD_CROPS, 2), 512, np.uint16)
        )
    torch.manual_seed(0)
    network = Student(PRESETS["tiny"])
    monkeypatch.setattr(detection, "resolve_model", mock.Mock())
    monkeypatch.setattr(detection, "build", lambda *_: network)
    monkeypatch.setattr(detection, "FEATURE_SIDE", 16)
    views = {view.name: view for view in look_for_drift(settings, features=True)}
    assert (views["student features"].newest, views["student features"].p_value <= 0.01) == (10, True)
    assert champion_features(network, dark[:2]).shape == (2, 8)


def test_growth_is_emitted_at_each_multiple_of_its_limit(tmp_path: Path) -> None:
    settings = runs(tmp_path, 0.5, 0.5)
    limits = settings.ingest.model_copy(update={"grown_crops": 30})
    settings = settings.model_copy(update={"ingest": limits})
    with mock.patch("tasks.pool.growth.emit_event") as emitted:
        assert emit_pool_grown(settings, 5) == 40
        assert emitted.call_count == 0
        (tmp_path / "signals" / "pool-grown.json").unlink()
        emit_pool_grown(settings, 20)
    assert emitted.call_args.args[0] == "derain.pool.grown"
    assert emitted.call_args.kwargs["payload"]["new_crops"] == 40
    with mock.patch("tasks.pool.growth.last_training", return_value=START + timedelta(hours=1)):
        assert emit_pool_grown(settings, 0) == 20
