"""`TrackingServer`, the MLflow store of registry and tracked runs: SQLite in the workspace, or a remote server."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from infra.errors import UserError
from infra.settings import Settings
from infra.storage.location import local_home
from infra.tracking.disk_faults import disk_fault
from infra.tracking.local_store import LOCK, LocalStore

if TYPE_CHECKING:
    from mlflow import MlflowClient

SHOWN_AS = {"mlflow.experimentKind": "custom_model_development"}
"""Tag of an experiment that makes MLflow's pages show it as model training rather than as a language model."""
LOCK_SECONDS = 300.0
"""Seconds after which the holder of the lock counts as hung; the lock is needed for seconds only."""
CONNECT_SECONDS = 10.0
_DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND")


class ModelNotFound(UserError):
    """The registry does not have this model name, version or alias."""


class TrackingUnreachable(UserError):
    """The tracking server does not answer."""


class StoreUnwritable(TrackingUnreachable):
    """The workspace, which holds the store, is full or not writable. The message names it and the way out."""


class TrackingServer:
    """One tracking server and its artifacts.

    Parameters
    ----------
    settings : Settings
        `tracking_uri`, or SQLite in a local workspace, or SQLite in `./var` if the workspace is remote.
    """

    def __init__(self, settings: Settings) -> None:
        self._home = local_home(settings.workspace)
        self._store = LocalStore(self._home, f"{settings.workspace.rstrip('/')}/catalog/promotions")
        self.is_remote = settings.tracking_uri is not None
        self.uri = settings.tracking_uri or f"sqlite:///{self._store.database}"
        # MLflow reads these at import, which therefore comes later.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # Otherwise it logs each table that it creates.
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

    def client(self) -> MlflowClient:
        """Return a client of the server.

        Raises
        ------
        TrackingUnreachable
            If the URI cannot be that of a tracking server.
        """
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        from mlflow import MlflowClient  # imports take two seconds: only if a server is used
        from mlflow.exceptions import MlflowException

        try:
            return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        except (MlflowException, ImportError) as error:
            raise TrackingUnreachable(
                f"{self.uri}: cannot be a tracking server ({_first_line(error)})"
            ) from error

    def experiment(self, client: MlflowClient, name: str) -> str:
        """Return the id of an experiment, which is created if it does not exist."""
        known = client.get_experiment_by_name(name)
        if known is not None:
            if known.lifecycle_stage == "deleted":  # its name cannot be given to another one
                client.restore_experiment(known.experiment_id)
            return str(known.experiment_id)
        location = None if self.is_remote else (self._home / "artifacts" / name).as_uri()
        return str(client.create_experiment(name, artifact_location=location, tags=SHOWN_AS))

    def artifact(self, folder: str, part: str) -> bytes:
        """Return the bytes of a file in a logged folder.

        Raises
        ------
        FileNotFoundError
            If the file is not there.
        """
        if folder.startswith(("/", "file:")):
            return self._store.local_path(Path(url2pathname(urlsplit(folder).path), part)).read_bytes()
        from mlflow.artifacts import download_artifacts, list_artifacts
        from mlflow.exceptions import MlflowException

        with tempfile.TemporaryDirectory() as here:
            try:
                found = download_artifacts(f"{folder}/{part}", dst_path=here, tracking_uri=self.uri)
            except MlflowException as error:
                # MLflow raises the same for a missing file as for a server that does not answer.
                listed = list_artifacts(folder, tracking_uri=self.uri)
                if any(Path(file.path).name == part for file in listed):
                    raise
                raise FileNotFoundError(f"{folder}/{part}") from error
            return Path(found).read_bytes()

    @contextmanager
    def found_here(self, name: str, alias: str | None, number: str) -> Iterator[tuple[str, str] | None]:
        """Hold the lock and yield number and artifact URL of a version, read without MLflow; None if not found."""
        if self.is_remote or not self._store.database.exists():
            yield None
            return
        with self.locked():
            yield self._store.find_version(name, alias, number)

    @contextmanager
    def session(self, subject: str) -> Iterator[None]:
        """Hold the lock (`locked`) and translate errors about `subject` (`translate_errors`)."""
        with self.locked(), self.translate_errors(subject):
            yield

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the SQLite file against other processes: two that create its tables at once break it.

        Raises
        ------
        TrackingUnreachable
            If another process does not release it, for example because it is suspended.
        StoreDamaged
            If the file is empty or damaged.
        AccessDenied
            If this user may not use the file.
        """
        if self.is_remote:
            _refuse_unreachable_database(self.uri)
            yield
            return
        with self._store.lock_file() as lock:
            _lock(lock, str(self._home / LOCK))
            self._store.refuse_damaged()
            self._store.adopt_moved()
            yield
            self._store.keep_backup()

    @contextmanager
    def translate_errors(self, subject: str) -> Iterator[None]:
        """Translate whatever MLflow raises into an error with one clear line about `subject`.

        Raises
        ------
        ModelNotFound
            If the server does not have it, or its files are missing.
        TrackingUnreachable
            If the server does not answer.
        StoreUnwritable
            If the workspace, which holds the store, is full or not writable.
        """
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except FileNotFoundError as error:
            raise ModelNotFound(
                f"{subject}: registered at {self.uri}, but its files are gone ({error})"
            ) from error
        except (MlflowException, SQLAlchemyError, OSError) as error:
            if getattr(error, "error_code", "") in NOT_THERE:
                raise ModelNotFound(
                    f"{subject}: the registry at {self.uri} has no such model, version, alias or run"
                ) from error
            fault = None if self.is_remote else disk_fault(error, self._home)
            if fault is not None:
                raise StoreUnwritable(f"{self._home}: {fault}") from error
            raise TrackingUnreachable(
                f"{self.uri}: the tracking server does not answer ({_first_line(error)})"
            ) from error


def _refuse_unreachable_database(uri: str) -> None:
    """Refuse a database server that accepts no connection; MLflow would try for a hundred seconds, in silence.

    Raises
    ------
    TrackingUnreachable
        If nothing listens there.
    """
    usual_port = _DATABASE_PORTS.get(uri.partition(":")[0].partition("+")[0])
    if usual_port is None:
        return
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(uri)
    except (ArgumentError, ValueError):  # the client refuses it in its own words
        return
    if url.host is None:  # a socket in the file system
        return
    try:
        socket.create_connection((url.host, url.port or usual_port), CONNECT_SECONDS).close()
    except OSError as error:
        raise TrackingUnreachable(
            f"{uri}: the tracking server does not answer ({error.strerror or error})"
        ) from error


def _lock(file: int, name: str) -> None:
    waiting = Retrying(
        retry=retry_if_exception_type(BlockingIOError),
        stop=stop_after_delay(LOCK_SECONDS),
        wait=wait_fixed(0.05),
        reraise=True,
    )
    try:
        waiting(fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise TrackingUnreachable(
            f"{name}: another process has held this lock for {LOCK_SECONDS:g} s: is one stopped, or hanging?"
        ) from error


def _first_line(error: BaseException) -> str:
    """Return the message of the first cause, which later errors repeat at length."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
