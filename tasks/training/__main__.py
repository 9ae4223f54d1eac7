"""Train with curve and pictures in MLflow, in addition to the files of `models.train`.

    python -m tasks.training --preset student-base --data DATA --out checkpoints/student-base

All options are those of `python -m models.train`, which needs nothing of this: a bare machine with PyTorch does.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

from infra.errors import DerainError
from infra.settings import read_settings
from infra.terminal import show_any_text
from infra.tracking.runs import TrackedRun
from models.training import loop
from models.training.config import TrainConfig
from tasks.training.tracked import Training, tracked

EXPERIMENT = "training"


def watched(config: TrainConfig, out: Path) -> AbstractContextManager[TrackedRun]:
    """Keep a training in MLflow while it runs; the run is marked failed if it does not come to its end."""
    return tracked(read_settings(), Training(EXPERIMENT, config, out, asdict(config)))


def main() -> None:
    """Parse the command line and train."""
    show_any_text()
    try:
        loop.main(watched)
    except DerainError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
