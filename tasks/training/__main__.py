"""Training from the command line with curves and pictures in MLflow, in addition to the files of `models.train`.

    python -m tasks.training --preset student-base --data DATA --out checkpoints/student-base

The options are those of `python -m models.train`, which needs only PyTorch.
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
    """Track a training in MLflow; the run is marked failed if the training does not complete."""
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
