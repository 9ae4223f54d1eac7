"""The Prefect server for a flow on the command line: the one that is configured, or a temporary one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import prefect
from prefect.client.base import ServerType
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectException
from prefect.settings import (
    PREFECT_API_REQUEST_TIMEOUT,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    temporary_settings,
)

from infra.errors import UserError, one_line

ANSWER_SECONDS = 8.0
"""Seconds that a configured server may take to answer the first requests."""
START_SECONDS = 180
"""Seconds that a temporary server may take to start; on a busy machine, Prefect's default of 20 is not enough."""


class PrefectServerRefused(UserError):
    """The Prefect server does not work with this version. The message says which server, and why."""


@contextmanager
def prefect_server() -> Iterator[None]:
    """Check the configured Prefect server; if none is configured, provide a temporary one for the block.

    Raises
    ------
    PrefectServerRefused
        Within seconds, if no usable Prefect server answers; the message is one line.
    """
    refuse_unusable_server()
    if PREFECT_API_URL.value() is not None:
        yield
        return
    # A temporary server that was killed does not return: retrying for minutes would only look like a hang.
    retries, start = PREFECT_CLIENT_MAX_RETRIES, PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS
    with temporary_settings({retries: 1, start: START_SECONDS}):
        _start_temporary_server()
        yield


def refuse_unusable_server() -> None:
    """Refuse a configured server that cannot be used; return if none is configured.

    Raises
    ------
    PrefectServerRefused
        See `prefect_server`.
    """
    url = PREFECT_API_URL.value()
    if url is not None:
        _refuse_other_server(str(url))


def answers() -> bool:
    """Return whether Prefect's server answers one request within the time-out of Prefect's settings."""
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}), get_client(sync_client=True) as client:
        return client.api_healthcheck() is None


def _refuse_other_server(url: str) -> None:
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0, PREFECT_API_REQUEST_TIMEOUT: ANSWER_SECONDS}),
        get_client(sync_client=True) as client,
    ):
        error = client.api_healthcheck()
        if error is not None:
            raise PrefectServerRefused(
                f"{url}: no Prefect server answers there ({one_line(error)}); start it or unset PREFECT_API_URL"
            )
        if client.server_type != ServerType.CLOUD:
            _refuse_other_version(url, client)


def _refuse_other_version(url: str, client: SyncPrefectClient) -> None:
    try:
        found = client.api_version()
    except (httpx.HTTPError, PrefectException, ValueError) as error:
        found = one_line(error)
    major = str(found).partition(".")[0]
    if not major.isdigit():
        raise PrefectServerRefused(
            f"{url}: the server that answers there is not Prefect's; correct or unset PREFECT_API_URL"
        )
    if major != prefect.__version__.partition(".")[0]:
        raise PrefectServerRefused(
            f"{url}: a Prefect server {found} answers there, but this is Prefect {prefect.__version__};"
            " use a server of the same version or unset PREFECT_API_URL"
        )


def _start_temporary_server() -> None:
    from infra.prefect.database import database_fault  # imports take a second: only if they are used
    from infra.prefect.temporary_server import TemporaryServer

    fault = database_fault()
    if fault is not None:
        raise PrefectServerRefused(fault)
    if sys.stderr.isatty():
        sys.stderr.write("starting a temporary Prefect server\n")
    server = TemporaryServer()
    if not server.answers_within(START_SECONDS):
        raise PrefectServerRefused(
            f"no temporary Prefect server starts here ({server.last_words()}); set PREFECT_HOME to an empty"
            " folder, or PREFECT_API_URL to a server"
        )
