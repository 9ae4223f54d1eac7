"""A database that Prefect's temporary server could not open is found before a server is started."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, temporary_settings

from infra.prefect import database
from infra.prefect.database import database_fault
from infra.shown import shown


def fault_of(url: str) -> str | None:
    with temporary_settings({PREFECT_API_DATABASE_CONNECTION_URL: url}):
        return database_fault()


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("sqlite+aiosqlite:////nonexistent/prefect.db", "unable to open database file"),
        ("postgresql+asyncpg://me:hunter2@127.0.0.1:9/prefect", "Connect call failed"),
        ("mysql://me:hunter2@127.0.0.1/prefect", "mysql"),
        ("no url", "Could not parse"),
    ],
)
def test_a_database_that_cannot_be_opened_is_named_with_the_cause(url: str, cause: str) -> None:
    fault = shown(str(fault_of(url)))
    assert fault.startswith(shown(url))
    assert cause in fault
    assert fault.endswith("correct or unset PREFECT_SERVER_DATABASE_CONNECTION_URL")
    assert "\n" not in fault
    assert "hunter2" not in fault


def test_a_database_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "OPEN_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        fault = fault_of(f"postgresql+asyncpg://me:hunter2@127.0.0.1:{port}/prefect")
    assert "no answer within 0.5 s" in str(fault)


def test_a_database_that_can_be_opened_is_used(tmp_path: Path) -> None:
    assert fault_of(f"sqlite+aiosqlite:///{tmp_path}/prefect.db") is None
    assert fault_of("sqlite+aiosqlite:///:memory:") is None


def test_the_default_database_is_left_to_the_server() -> None:
    assert database_fault() is None
