"""The command `python -m tasks.training`: a training with curves and pictures in MLflow."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

from infra.errors import DerainError
from infra.settings import read_settings
from infra.terminal import show_any_text
from infra.tracking.runs import TrackedRun
from models.training import command
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
        command.main(watched)
    except DerainError as error:
        raise SystemExit(str(error)) from error
