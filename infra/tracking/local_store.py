"""`LocalStore`, MLflow's SQLite file in a workspace: its integrity, its backup and the artifacts that it names."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from infra.errors import AccessDenied, UserError, one_line
from infra.storage.local import sync_to_disk
from infra.tracking.disk_faults import disk_fault, may_write

logger = logging.getLogger(__name__)

DATABASE = "mlflow.db"
BACKUP = "mlflow.db.backup"
LOCK = "mlflow.lock"
ARTIFACTS = "artifacts"
_NAMED_FILES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)
"""Tables and columns of MLflow that hold absolute URLs of files."""
_SOUND: dict[Path, tuple[int, int]] = {}
"""Size and modification time of each database when this process last found it intact; a check reads all of it."""

_VERSION = """
    SELECT version, source FROM model_versions AS found
    WHERE version = CASE WHEN ? IS NULL THEN CAST(? AS INTEGER) ELSE (
        SELECT version FROM registered_model_aliases WHERE name = found.name AND alias = ?
    ) END AND name = ? AND current_stage != 'Deleted_Internal'
"""
"""A version by number, or by alias."""


class StoreDamaged(UserError):
    """The registry's database is empty, damaged or missing. The message names it, its backup and the ledger."""


class LocalStore:
    """MLflow's SQLite file and artifacts below one folder.

    Parameters
    ----------
    home : Path
        The workspace, or `./var` if that is remote.
    ledger : str
        URL of the ledger of promotions, which records the champions; used in messages.
    """

    def __init__(self, home: Path, ledger: str) -> None:
        self.home = home
        self.database = home / DATABASE
        self.backup = home / BACKUP
        self._ledger = ledger

    def refuse_damaged(self) -> None:
        """Refuse a database that is empty or damaged, or missing although its backup exists.

        Raises
        ------
        StoreDamaged
            The message names the backup and the ledger.
        """
        if not self.database.exists():
            if self.backup.exists():
                raise self._damaged("is missing, although its backup exists")
            return
        if _SOUND.get(self.database) == _signature(self.database):
            return
        fault = _fault(self.database)
        if fault:
            raise self._damaged(fault)
        _SOUND[self.database] = _signature(self.database)

    def keep_backup(self) -> None:
        """Back up the database in its own folder if it has changed since the last backup; log a failure."""
        if not self.database.exists() or _is_newer(self.backup, self.database):
            return
        if not may_write(self.home):
            return  # the workspace of another user, whose own runs keep the backup
        partial = self.backup.with_suffix(f".{os.getpid()}.partial")
        try:
            with closing(sqlite3.connect(self.database)) as source, closing(sqlite3.connect(partial)) as copy:
                source.backup(copy)
            if _fault(partial) is None:
                sync_to_disk(partial)
                os.replace(partial, self.backup)
                _SOUND[self.database] = _signature(self.database)
        except (sqlite3.Error, OSError) as error:
            logger.warning("%s has no new backup: %s", self.database, one_line(error))
        finally:
            partial.unlink(missing_ok=True)

    def adopt_moved(self) -> None:
        """Rewrite the database's URLs to the files in its own folder if the workspace was moved or copied."""
        if not self.database.exists():
            return
        try:
            with closing(sqlite3.connect(self.database)) as connection:
                for earlier in self._earlier_homes(connection):
                    _replace_prefix(
                        connection, f"{earlier}/{ARTIFACTS}/", f"{self.home.as_uri()}/{ARTIFACTS}/"
                    )
                    logger.info("%s: the workspace was at %s before", self.database, earlier)
        except sqlite3.Error as error:  # not writable: files are found next to the database anyway
            logger.warning("%s still names files at another path: %s", self.database, one_line(error))

    def find_version(self, name: str, alias: str | None, number: str) -> tuple[str, str] | None:
        """Return number and artifact URL of a version; None if it does not exist, or if MLflow's tables differ."""
        try:
            with closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True)) as connection:
                row = connection.execute(_VERSION, (alias, number, alias, name)).fetchone()
        except sqlite3.Error as error:
            logger.debug("%s is not read directly: %s", self.database, one_line(error))
            return None
        return None if row is None else (str(row[0]), str(row[1]))

    def local_path(self, path: Path) -> Path:
        """Return the path of an artifact's file: the one in the database, or else the one next to the database."""
        parts = path.parts
        if path.exists() or ARTIFACTS not in parts:
            return path
        for at, part in enumerate(parts):
            next_to_database = self.home.joinpath(*parts[at:])
            if part == ARTIFACTS and next_to_database.exists():
                return next_to_database
        return path

    @contextmanager
    def lock_file(self) -> Iterator[int]:
        """Open the lock file; another user's is opened for reading, which suffices to lock it.

        Raises
        ------
        AccessDenied
            If it can be neither created nor read.
        """
        path = self.home / LOCK
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            except PermissionError:
                if not path.exists():
                    raise
                descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise AccessDenied(f"{path}: {disk_fault(error, self.home) or one_line(error)}") from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _earlier_homes(self, connection: sqlite3.Connection) -> list[str]:
        if not _has_table(connection, "experiments"):
            return []
        ours = self.home.as_uri()
        found = connection.execute("SELECT name, artifact_location FROM experiments").fetchall()
        homes = {
            location[: -len(ending)]
            for name, location in found
            if str(location).startswith("file:///") and location.endswith(ending := _ending(name))
        }
        return sorted(home for home in homes if home != ours and not self._is_ours(home))

    def _is_ours(self, home: str) -> bool:
        """Return whether another path leads to this same database, for example by a link or a second mount."""
        from urllib.parse import urlsplit
        from urllib.request import url2pathname

        try:
            return os.path.samefile(Path(url2pathname(urlsplit(home).path), DATABASE), self.database)
        except OSError:
            return False

    def _damaged(self, fault: str) -> StoreDamaged:
        backup = "it has no backup"
        if self.backup.exists():
            when = datetime.fromtimestamp(self.backup.stat().st_mtime, UTC)
            backup = f"its backup of {when:%Y-%m-%d %H:%M} UTC is {self.backup}: copy it to {self.database}"
        return StoreDamaged(
            f"{self.database} {fault}; {backup}. The ledger, {self._ledger}, records which version was champion."
            " To start over instead, move the database, its backup and the ledger away"
        )


def _ending(experiment: str) -> str:
    return Path("/", ARTIFACTS, experiment).as_uri().removeprefix("file://")


def _fault(database: Path) -> str | None:
    """Return the fault of a database; None if it has none."""
    try:
        if database.stat().st_size == 0:
            return "is empty"
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:  # locked or unreadable: MLflow will report it
        logger.debug("%s could not be checked: %s", database, error)
        return None
    except sqlite3.DatabaseError as error:
        return f"is damaged ({one_line(error)})"
    return None if answer == "ok" else f"is damaged ({answer})"


def _signature(database: Path) -> tuple[int, int]:
    """Return values that change whenever a database does: its size and modification time."""
    status = database.stat()
    return status.st_size, status.st_mtime_ns


def _replace_prefix(connection: sqlite3.Connection, old: str, new: str) -> None:
    with connection:
        for table, column in _NAMED_FILES:
            if _has_table(connection, table):
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                    (new, len(old) + 1, len(old), old),
                )


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.execute(query, (name,)).fetchone() is not None


def _is_newer(path: Path, than: Path) -> bool:
    return path.exists() and path.stat().st_mtime_ns >= than.stat().st_mtime_ns
