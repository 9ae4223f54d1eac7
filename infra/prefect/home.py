"""Preparation of the environment that Prefect is imported in: a usable home, and no proxy in front of loopback.

`prepare` must run before Prefect is imported, because Prefect looks for its home only then.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import tempfile
from collections.abc import MutableMapping
from contextlib import closing
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

logger = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
DATABASES = (
    "PREFECT_SERVER_DATABASE_CONNECTION_URL",
    "PREFECT_API_DATABASE_CONNECTION_URL",
)
"""Variables that may name the database of a Prefect server."""

Environment = MutableMapping[str, str]


def prepare(environment: Environment) -> None:
    """Change an environment so that Prefect can be imported and its temporary server can start.

    If Prefect's home is missing, not writable, or holds the database of another version, it is left alone: this
    process and its children get a private home or database, and a line in the log says so.

    Parameters
    ----------
    environment : mutable mapping
        `os.environ`.
    """
    environment.update(without_proxy(environment))
    home = _home_of(environment)
    if home is None or not _is_writable(home):
        _move_home(environment, home)
    elif not any(environment.get(name) for name in DATABASES) and not _is_usable(home / "prefect.db"):
        private = _private_folder()
        logger.warning(
            "%s is of another version of Prefect, or damaged; this run uses %s", home / "prefect.db", private
        )
        environment[DATABASES[0]] = f"sqlite+aiosqlite:///{private}/prefect.db"


def without_proxy(environment: Environment) -> dict[str, str]:
    """Return the variables to set so that no request to this machine goes through a proxy.

    Parameters
    ----------
    environment : mutable mapping
        Environment in which proxies may be set.
    """
    if not any(environment.get(name) or environment.get(name.lower()) for name in PROXIES):
        return {}
    given = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = [host.strip() for host in given.split(",") if host.strip()]
    if "*" in hosts:
        return {}
    joined = ",".join([*hosts, *(host for host in LOOPBACK if host not in hosts)])
    return {"NO_PROXY": joined, "no_proxy": joined}


def _home_of(environment: Environment) -> Path | None:
    """Return Prefect's home; None if this user has no home folder."""
    try:
        users_home = Path.home()  # Prefect needs it at import, whatever else is set
    except RuntimeError:
        return None
    given = environment.get("PREFECT_HOME")
    return Path(given).expanduser() if given else users_home / ".prefect"


def _is_writable(home: Path) -> bool:
    """Return whether Prefect can use a home; Prefect creates the last folder itself, this function does not."""
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home if home.exists() else home.parent):
            pass
    except OSError:
        return False
    database = home / "prefect.db"
    return not database.exists() or os.access(database, os.W_OK)


def _move_home(environment: Environment, home: Path | None) -> None:
    private = _private_folder()
    if home is None:
        environment["HOME"] = str(private)
        environment.setdefault("USER", str(os.getuid()))  # for a user without an entry in the user database
        logger.warning("this user has no home folder; this run uses %s", private)
    else:
        logger.warning("%s cannot be written, and Prefect needs it; this run uses %s", home, private)
        profiles = home / "profiles.toml"
        if os.access(profiles, os.R_OK):
            environment.setdefault("PREFECT_PROFILES_PATH", str(profiles))
    environment["PREFECT_HOME"] = str(private)


def _is_usable(database: Path) -> bool:
    """Return whether the installed version of Prefect can use or upgrade this database."""
    if not database.exists():
        return True
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=1)) as connection:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.OperationalError:  # the table does not exist yet, or a server has locked it
        return True
    except sqlite3.DatabaseError:
        return False
    return all(_is_known(revision) for (revision,) in found)


def _is_known(revision: str) -> bool:
    spec = find_spec("prefect")  # does not import Prefect
    folders = spec.submodule_search_locations if spec is not None else None
    return any(
        any(Path(folder, "server/database/_migrations/versions/sqlite").glob(f"*_{revision}_*.py"))
        for folder in folders or ()
    )


def _private_folder() -> Path:
    """Return a private folder of this user, always the same one, because creating a database takes seconds."""
    folder = Path(tempfile.gettempdir(), f"derain-prefect-{version('prefect')}-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
        if is_ours and not found.st_mode & 0o077 and _is_usable(folder / "prefect.db"):
            return folder
    except OSError:
        logger.debug("%s cannot be used", folder)
    return Path(tempfile.mkdtemp(prefix="derain-prefect-"))
