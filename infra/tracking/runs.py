"""Tracked runs, in which MLflow keeps curves, pictures and metrics of a training; `open_run` starts one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from infra.failpoints import failpoint
from infra.settings import Settings
from infra.tracking.outbox import Outbox
from infra.tracking.server import NOT_THERE, ModelNotFound, TrackingServer, TrackingUnreachable

if TYPE_CHECKING:
    from mlflow import MlflowClient


class TrackedRun:
    """A run of an MLflow experiment that records the curves and pictures of a training.

    Records that the server does not accept are kept on disk and sent with later ones, even by a later process, so
    that a training does not stop because its records cannot be sent.

    Parameters
    ----------
    server : TrackingServer
        Server of the run.
    run_id : str
        Id of the run, which must exist.
    outbox : Outbox
        Records that have not been sent yet.
    """

    def __init__(self, server: TrackingServer, run_id: str, outbox: Outbox) -> None:
        self.run_id = run_id
        self._server = server
        self._client = server.client()
        self._outbox = outbox
        self._is_away = False

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record named numbers of a step."""
        self._outbox.put_scalars(step, values)
        self._send()
        failpoint("after-scalars")

    def picture(self, step: int, name: str, picture: npt.NDArray[np.uint8]) -> None:
        """Record a picture of a step, (H, W, 3) uint8 RGB."""
        self._outbox.put_picture(step, name, picture)
        if not self._is_away:  # one attempt per validation, since each may last until a time-out
            self._send()

    def describe(self, tags: Mapping[str, str], figures: Mapping[str, float]) -> None:
        """Record tags and metrics of the run as a whole.

        Raises
        ------
        TrackingUnreachable
            If the server does not answer.
        """
        from mlflow.entities import Metric, RunTag

        now = int(1000 * time.time())
        with self._server.translate_errors(self.run_id):
            self._client.log_batch(
                self.run_id,
                metrics=[Metric(name, value, now, 0) for name, value in figures.items()],
                tags=[RunTag(name, value) for name, value in tags.items()],
            )

    def file(self, path: Path, folder: str) -> None:
        """Store a file among the run's artifacts.

        Raises
        ------
        TrackingUnreachable
            If the server does not answer.
        """
        with self._server.translate_errors(self.run_id):
            self._client.log_artifact(self.run_id, str(path), folder)

    def end(self, status: str = "FINISHED") -> None:
        """Send all unsent records, and close the run.

        Raises
        ------
        TrackingUnreachable
            If the server still does not accept them.
        """
        with self._server.translate_errors(self.run_id):
            self._outbox.send(self._client, self.run_id)
            self._client.set_terminated(self.run_id, status)

    def _send(self) -> None:
        try:
            with self._server.translate_errors(self.run_id):
                self._outbox.send(self._client, self.run_id)
            self._is_away = False
        except (TrackingUnreachable, ModelNotFound):
            self._is_away = True  # kept for the next attempt


def open_run(
    settings: Settings, experiment: str, name: str, parameters: Mapping[str, object], memory: Path
) -> TrackedRun:
    """Start a tracked run, or resume the one that a killed process started.

    Parameters
    ----------
    settings : Settings
        Settings that name the server.
    experiment, name : str
        Names of the experiment and of the run.
    parameters : mapping
        Parameters to show with the run.
    memory : Path
        File with the run's id, in the checkpoint folder; unsent records are kept in the same folder.

    Raises
    ------
    TrackingUnreachable
        If the server does not answer.
    """
    server = TrackingServer(settings)
    with server.session(experiment):
        client = server.client()
        run_id = memory.read_text().strip() if memory.exists() else ""
        if not run_id or not _resume(client, run_id):  # a killed process may have left an empty file
            run_id = client.create_run(server.experiment(client, experiment), run_name=name).info.run_id
            _log_parameters(client, run_id, parameters)
            memory.parent.mkdir(parents=True, exist_ok=True)
            memory.write_text(run_id)
    return TrackedRun(server, run_id, Outbox(memory.with_name(f"{memory.name}_unsent")))


def _resume(client: MlflowClient, run_id: str) -> bool:
    """Mark a run as running again; return False if the server no longer has it, or marks it as deleted."""
    from mlflow.exceptions import MlflowException

    try:
        client.update_run(run_id, status="RUNNING")
    except MlflowException as error:
        if error.error_code not in NOT_THERE:
            raise
        return False
    return True


def _log_parameters(client: MlflowClient, run_id: str, parameters: Mapping[str, object]) -> None:
    from mlflow.entities import Param

    client.log_batch(run_id, params=[Param(key, str(value)) for key, value in parameters.items()])


@dataclass(frozen=True, slots=True)
class Figures:
    """Results of one measurement: metrics, tables and pictures."""

    parameters: Mapping[str, object]
    metrics: Mapping[str, float]
    tables: Mapping[str, Sequence[Mapping[str, object]]] = field(default_factory=dict)
    """Rows by file name (`.json`), which MLflow shows as tables."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    pictures: Mapping[str, npt.NDArray[np.uint8]] = field(default_factory=dict)
    """Pictures by name, (H, W, 3) uint8 RGB."""


def log_figures(settings: Settings, experiment: str, name: str, figures: Figures) -> None:
    """Log a measurement as a finished run.

    Raises
    ------
    TrackingUnreachable
        If the server does not answer.
    """
    from mlflow.entities import Metric

    server = TrackingServer(settings)
    with server.session(experiment):
        client = server.client()
        run_id = client.create_run(server.experiment(client, experiment), run_name=name).info.run_id
        now = int(1000 * time.time())
        client.log_batch(
            run_id,
            metrics=[Metric(key, value, now, 0) for key, value in figures.metrics.items()],
        )
        _log_parameters(client, run_id, figures.parameters)
        for file, rows in figures.tables.items():
            client.log_table(run_id, {key: [row[key] for row in rows] for key in rows[0]}, file)
        for key, picture in figures.pictures.items():
            client.log_image(run_id, picture, key=key, step=0, synchronous=True)
        with tempfile.TemporaryDirectory() as folder:
            for file, data in figures.files.items():
                Path(folder, file).write_bytes(data)
            client.log_artifacts(run_id, folder)
        client.set_terminated(run_id)
