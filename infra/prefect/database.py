"""Check of a database that a user chose for Prefect's temporary server (`database_fault`).

A server that cannot open its database retries for minutes before it exits with a traceback.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing

from prefect.server.database.configurations import AsyncPostgresConfiguration
from prefect.settings import PREFECT_HOME, get_current_settings
from sqlalchemy import make_url

from infra.errors import one_line
from infra.prefect.home import DATABASES

OPEN_SECONDS = 8.0
"""Seconds that a database may take to answer."""


def database_fault() -> str | None:
    """Connect once to the database that the environment or a profile names, and return why that fails.

    Returns
    -------
    str or None
        One line with the URL, the cause and the setting; None if the database can be used, or if it is the default
        one, whose folder `infra.prefect.home` has checked.
    """
    secret = get_current_settings().server.database.connection_url
    url = secret.get_secret_value() if secret is not None else ""
    if url in ("", f"sqlite+aiosqlite:///{PREFECT_HOME.value()}/prefect.db"):
        return None
    try:
        _open(url)
    except TimeoutError:
        cause = f"no answer within {OPEN_SECONDS:g} s"
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - each driver has its own errors
        cause = one_line(error)
    else:
        return None
    name = next((name for name in DATABASES if os.environ.get(name)), DATABASES[0])
    return f"{url}: Prefect's database cannot be opened ({cause}); correct or unset {name}"


def _open(url: str) -> None:
    """Open a database and close it again."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        asyncio.run(_connect(url))
    elif parsed.get_backend_name() != "sqlite":
        raise ValueError(f"Prefect does not support {parsed.get_backend_name()}, only postgresql and sqlite")
    elif parsed.database:
        # Not through Prefect's engine: the thread of its driver would print a traceback as well.
        with closing(sqlite3.connect(parsed.database, timeout=OPEN_SECONDS)):
            return


async def _connect(url: str) -> None:
    async with asyncio.timeout(OPEN_SECONDS):
        engine = await AsyncPostgresConfiguration(connection_url=url).engine()
        async with engine.connect():
            return
