"""Tracked runs: what a training tells of itself, kept by MLflow."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from infra.settings import Settings
from infra.tracking_server import ModelNotFound, TrackingServer, TrackingUnreachable


class TrackedRun:
    """A run of an MLflow experiment that keeps curve and pictures of a training.

    What the server does not take is kept here and sent with what comes next: a training does not end because its
    records cannot be written.

    Parameters
    ----------
    server : TrackingServer
        Where the run is.
    run_id : str
        The run, already there.
    """

    def __init__(self, server: TrackingServer, run_id: str) -> None:
        self.run_id = run_id
        self._server = server
        self._client = server.client()
        self._unsent: list[Callable[[], None]] = []

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Keep named numbers of a step."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        self._send(lambda: self._client.log_batch(self.run_id, metrics=metrics))

    def picture(self, step: int, name: str, picture: npt.NDArray[np.uint8]) -> None:
        """Keep a picture, uint8 RGB (H, W, 3), of a step."""
        self._send(
            lambda: self._client.log_image(self.run_id, picture, key=name, step=step, synchronous=True)
        )

    def end(self, status: str = "FINISHED") -> None:
        """Send what was not sent, and close the run.

        Raises
        ------
        TrackingUnreachable
            If the server still does not take it.
        """
        with self._server.faults_named(self.run_id):
            self._send_all()
            self._client.set_terminated(self.run_id, status)

    def _send(self, message: Callable[[], None]) -> None:
        self._unsent.append(message)
        try:
            with self._server.faults_named(self.run_id):
                self._send_all()
        except (TrackingUnreachable, ModelNotFound):
            return  # kept for the next time

    def _send_all(self) -> None:
        while self._unsent:
            self._unsent[0]()
            self._unsent.pop(0)


def open_run(
    settings: Settings, experiment: str, name: str, parameters: Mapping[str, object], memory: Path
) -> TrackedRun:
    """Begin a tracked run, or go on with the one that a killed process began.

    Parameters
    ----------
    settings : Settings
        Say which server.
    experiment, name : str
        Where the run is filed and how it is called.
    parameters : mapping
        Shown with the run.
    memory : Path
        File that remembers the run's id, beside the checkpoint that is resumed.

    Raises
    ------
    TrackingUnreachable
        If the server does not answer.
    """
    server = TrackingServer(settings)
    with server.alone(), server.faults_named(experiment):
        client = server.client()
        if memory.exists():
            run_id = memory.read_text().strip()
            client.update_run(run_id, status="RUNNING")
        else:
            run_id = client.create_run(server.experiment(client, experiment), run_name=name).info.run_id
            for key, value in parameters.items():
                client.log_param(run_id, key, value)
            memory.parent.mkdir(parents=True, exist_ok=True)
            memory.write_text(run_id)
    return TrackedRun(server, run_id)


@dataclass(frozen=True, slots=True)
class Figures:
    """What is kept of something that was measured at one time."""

    parameters: Mapping[str, object]
    metrics: Mapping[str, float]
    tables: Mapping[str, Sequence[Mapping[str, object]]] = field(default_factory=dict)
    """Rows by file name, `.json`, which MLflow shows as tables."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    pictures: Mapping[str, npt.NDArray[np.uint8]] = field(default_factory=dict)
    """Pictures, uint8 RGB (H, W, 3), by name."""


def log_figures(settings: Settings, experiment: str, name: str, figures: Figures) -> None:
    """Keep what was measured as a finished run.

    Raises
    ------
    TrackingUnreachable
        If the server does not answer.
    """
    from mlflow.entities import Metric, Param

    server = TrackingServer(settings)
    with server.alone(), server.faults_named(experiment):
        client = server.client()
        run_id = client.create_run(server.experiment(client, experiment), run_name=name).info.run_id
        now = int(1000 * time.time())
        client.log_batch(
            run_id,
            metrics=[Metric(key, value, now, 0) for key, value in figures.metrics.items()],
            params=[Param(key, str(value)) for key, value in figures.parameters.items()],
        )
        for file, rows in figures.tables.items():
            client.log_table(run_id, {key: [row[key] for row in rows] for key in rows[0]}, file)
        for key, picture in figures.pictures.items():
            client.log_image(run_id, picture, key=key, step=0, synchronous=True)
        with tempfile.TemporaryDirectory() as folder:
            for file, data in figures.files.items():
                Path(folder, file).write_bytes(data)
            client.log_artifacts(run_id, folder)
        client.set_terminated(run_id)
