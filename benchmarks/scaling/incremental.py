"""Measure two hours of incremental runs, one per minute on 100 new photographs, without the pauses between them."""

from __future__ import annotations

import json
import time
from pathlib import Path

from deltalake import DeltaTable

from benchmarks.scaling.simulated import SCOPE, SimulatedJob, SimulatedStage
from infra.catalog.derained import Catalog
from infra.settings import Settings
from infra.storage.lease import lease_of
from tasks.waves.executors import in_process
from tasks.waves.runner import Pace, run_stage
from tasks.waves.tally import Tally

RUNS = 120
IMAGES = 100


def measure(folder: Path) -> dict[str, float]:
    """Count the files that a reader of the catalog opens after each run, and the files on disk at the end."""
    settings = Settings(workspace=str(folder / "workspace"), _env_file=None)
    catalog = Catalog(settings.workspace)
    seconds, opened = [], []
    for number in range(RUNS):
        started = time.perf_counter()
        _run(settings, catalog, number)
        seconds.append(time.perf_counter() - started)
        opened.append(_opened(catalog.url))
    hour = RUNS // 2
    assert catalog.frame().height == RUNS * IMAGES
    return {
        "most files that a reader opens in the first hour, files": max(opened[:hour]),
        "most files that a reader opens in the second hour, files": max(opened[hour:]),
        "files on disk, replaced ones of seven days too, files": sum(
            path.is_file() for path in Path(catalog.url).rglob("*")
        ),
        "the last ten runs over the first ten, ratio": sum(seconds[-10:]) / sum(seconds[:10]),
    }


def _opened(url: str) -> int:
    """Count the data files of the newest version, and the log entries since its last checkpoint."""
    table, checkpoint = DeltaTable(url), Path(url, "_delta_log", "_last_checkpoint")
    known: int = json.loads(checkpoint.read_text())["version"] if checkpoint.exists() else -1
    return len(table.file_uris()) + int(table.version()) - known


def _run(settings: Settings, catalog: Catalog, number: int) -> None:
    run_id = f"run-{number}"
    images = range(number * IMAGES, (number + 1) * IMAGES)
    stage = SimulatedStage(catalog, SimulatedJob(run_id, 0.0), images, 25)
    with lease_of(settings, SCOPE.destination, run_id) as lease, in_process(settings) as executor:
        tally = run_stage(stage, lease, executor, Pace(4, 60.0), _ignore)
    assert tally.done == IMAGES
    catalog.maintain()


def _ignore(tally: Tally) -> None:
    """Show no progress."""
