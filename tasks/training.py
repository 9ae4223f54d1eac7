"""Train with curve and pictures in MLflow, beside what `models.train` writes.

    python -m tasks.training --preset student-base --data DATA --out checkpoints/student-base

All options are those of `python -m models.train`, which needs nothing of this: a bare machine with PyTorch does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from infra.settings import SettingsInvalid, read_settings
from infra.tracking import TrackedRun, open_run
from infra.tracking_server import TrackingUnreachable
from models import train
from models.train_config import TrainConfig

EXPERIMENT = "training"


@contextmanager
def tracked(config: TrainConfig, out: Path) -> Iterator[TrackedRun]:
    """Keep a training in MLflow while it runs; the run is marked failed if it does not come to its end."""
    run = open_run(read_settings(), EXPERIMENT, config.preset, asdict(config), out / "mlflow_run")
    try:
        yield run
    except BaseException:
        run.end("FAILED")
        raise
    run.end()


def main() -> None:
    """Parse the command line and train."""
    try:
        train.main(tracked)
    except (TrackingUnreachable, SettingsInvalid) as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
