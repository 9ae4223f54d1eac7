"""Drift detection without labels or training (`watch_drift`): tests whether the newest photographs differ.

The tests run after an ingest that completes another window of crops, because a training learns from the pool;
derain-batch runs hourly and has no time for them. There are three views: statistics of the crops, bottleneck
features of the champion on them, and statistics of the derained images in the catalog. Each view is an energy test
between the newest runs and earlier ones. Holm's correction keeps the joint false-alarm rate of all three at
`DERAIN_DRIFT__ALPHA`. An alarm is emitted as the event `derain.drift`; subscribers decide what to do.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from prefect.events import emit_event

from infra.catalog.derained import Catalog
from infra.catalog.pool import Pool
from infra.prefect.alerts import DRIFT
from infra.records import ACCEPTED, DERAINED
from infra.settings import Settings
from infra.tracking.registry import CHAMPION_URL
from infra.tracking.server import ModelNotFound, TrackingUnreachable
from models.images import to_floats
from models.modelfile import ModelFileInvalid, build
from tasks.drift.bottleneck import NoBottleneck, bottleneck_features
from tasks.drift.two_sample import energy_test, holm
from tasks.drift.windows import Rows, Windows, split_windows
from tasks.pool.growth import last_training
from tasks.pool.signals import Signal
from tasks.pool.splits import source_group
from tasks.resolved_model import resolve_model

logger = logging.getLogger(__name__)

CROP_STATISTICS = ("brightness", "contrast", "sharpness", "streak_energy")
IMAGE_STATISTICS = ("rain_energy", "brightness", "contrast", "sharpness")
LEAST_GROUPS = 8
"""Minimum number of source groups on each side for groups to be the units of the test; otherwise images are."""
FEATURE_SIDE = 256
"""Number of rows and columns of each crop that the student reads; the means hardly change with more."""


@dataclass(frozen=True, slots=True)
class DriftTest:
    """One comparison: its view, the numbers of observations and units, and the distance."""

    name: str
    reference: int
    newest: int
    reference_units: int
    newest_units: int
    unit: str
    distance: float
    p_value: float
    """p-value after Holm's correction."""
    shifts: dict[str, tuple[float, float]]
    """Medians of the statistics, before and now; empty for features."""

    def line(self) -> str:
        """Return the result in one line."""
        moved = ", ".join(f"{name} {before:.3g} to {now:.3g}" for name, (before, now) in self.shifts.items())
        return (
            f"{self.name}: p {self.p_value:.4f}, energy distance {self.distance:.3f},"
            f" {self.newest:,} of {self.newest_units:,} {self.unit}s against {self.reference:,} of"
            f" {self.reference_units:,}{f'; {moved}' if moved else ''}"
        )


def watch_drift(settings: Settings, crops: int) -> tuple[DriftTest, ...]:
    """Test for drift if a window of crops was completed since the last test; emit `derain.drift` if there is any.

    Parameters
    ----------
    settings : Settings
        Workspace and limits.
    crops : int
        Number of crops that the run added.

    Returns
    -------
    tuple of DriftTest
        Empty if no window was completed, or if there is nothing to compare with yet.
    """
    there = Pool(settings.workspace).count()
    signal = Signal(settings.workspace, "drift", settings.drift.window)
    views = look_for_drift(settings, features=True) if signal.is_due(there, crops) else ()
    if any(view.p_value <= settings.drift.alpha for view in views):
        payload = {"alpha": settings.drift.alpha, "views": [asdict(view) for view in views]}
        emit_event(DRIFT, {"prefect.resource.id": f"derain.pool.{settings.workspace}"}, payload=payload)
    signal.remember(there)
    return views


def look_for_drift(settings: Settings, *, features: bool) -> tuple[DriftTest, ...]:
    """Compare the newest runs with earlier ones in every view that has enough data."""
    pool, catalog = Pool(settings.workspace), Catalog(settings.workspace)
    identity, place = ("crop_id",), ("source_group", "image_id", "zarr_group", "zarr_row")
    of_crops = Rows(
        lambda columns: pool.scan(columns, ACCEPTED),
        "ingested_at",
        identity,
        (*place, *CROP_STATISTICS),
    )
    of_images = Rows(
        lambda columns: catalog.scan(columns, DERAINED),
        "derained_at",
        ("source", "key", "etag"),
        IMAGE_STATISTICS,
    )
    trained_at = last_training(settings.workspace)
    window = settings.drift.window
    views = []
    found = split_windows(of_crops, window, trained_at)
    if found:
        views.append(_statistics_view("pool crops", found, CROP_STATISTICS))
        views += _feature_views(settings, pool, found) if features else []
    found = split_windows(of_images, window, trained_at)
    if found:
        views.append(_statistics_view("derained images", _grouped(settings, found), IMAGE_STATISTICS))
    adjusted = holm([view.p_value for view in views])
    return tuple(replace(view, p_value=value) for view, value in zip(views, adjusted, strict=True))


def compared(
    name: str,
    windows: Windows,
    figures: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    names: Sequence[str] = (),
) -> DriftTest:
    """Compare two samples in one view, by source groups if there are enough of them."""
    sides = (windows.reference, windows.newest)
    by = (
        "source_group"
        if min(side["source_group"].n_unique() for side in sides) >= LEAST_GROUPS
        else "image_id"
    )
    test = energy_test(*figures, units=(sides[0][by].to_list(), sides[1][by].to_list()))
    before, now = (np.median(each, axis=0) for each in figures)
    shifts = {label: (float(before[at]), float(now[at])) for at, label in enumerate(names)}
    return DriftTest(
        name,
        reference=len(figures[0]),
        newest=len(figures[1]),
        reference_units=test.reference_units,
        newest_units=test.newest_units,
        unit="source group" if by == "source_group" else "image",
        distance=test.distance,
        p_value=test.p_value,
        shifts=shifts,
    )


def champion_features(network: torch.nn.Module, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Return bottleneck features, (N, C), of the first 256 rows and columns of each crop."""
    features = []
    for crop in crops[:, :FEATURE_SIDE, :FEATURE_SIDE]:
        rainy = to_floats(crop)[None]
        features.append(bottleneck_features(network, rainy)[0].double().numpy())
    return np.stack(features)


def _statistics_view(name: str, windows: Windows, columns: tuple[str, ...]) -> DriftTest:
    figures = (windows.reference.select(columns).to_numpy(), windows.newest.select(columns).to_numpy())
    return compared(name, windows, figures, columns)


def _feature_views(settings: Settings, pool: Pool, windows: Windows) -> list[DriftTest]:
    """Compare bottleneck features of the champion; empty without a champion or without a bottleneck."""
    most = settings.drift.feature_crops
    try:
        model = resolve_model(settings, CHAMPION_URL)
        network = build(model.model_file, model.name).eval()
        fewer = Windows(windows.reference.head(most), windows.newest.head(most))
        before, now = (
            champion_features(network, pool.pixels(side)) for side in (fewer.reference, fewer.newest)
        )
    except (ModelNotFound, TrackingUnreachable, ModelFileInvalid, NoBottleneck) as error:
        logger.warning("drift is tested without features: %s", error)
        return []
    return [compared("student features", fewer, (before, now))]


def _grouped(settings: Settings, windows: Windows) -> Windows:
    """Add the columns that define units to derained images."""
    pattern = settings.ingest.group_pattern

    def with_units(rows: pl.DataFrame) -> pl.DataFrame:
        groups = [
            source_group(pattern, source, key) for source, key in rows.select("source", "key").iter_rows()
        ]
        image = pl.concat_str("source", "key", "etag", separator="\n").alias("image_id")
        return rows.with_columns(pl.Series("source_group", groups), image)

    return Windows(with_units(windows.reference), with_units(windows.newest))
