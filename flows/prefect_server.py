"""The Prefect server that a flow on the command line runs with: one that is set, or a temporary one."""

from __future__ import annotations

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
"""How long a server that is set may take to answer the first questions."""
START_SECONDS = 180
"""How long a temporary server may take to start: on a busy machine more than Prefect's 20 seconds."""


class PrefectServerRefused(UserError):
    """No Prefect server that this version could work with; the message says which and why."""


@contextmanager
def prefect_server() -> Iterator[None]:
    """Refuse a Prefect server that is set but is none; with none set, a temporary one serves the run.

    Raises
    ------
    PrefectServerRefused
        Within seconds, in one line.
    """
    url = PREFECT_API_URL.value()
    if url is not None:
        _refuse_other_server(str(url))
        yield
        return
    # Ctrl-C ends the temporary server too, and minutes of asking it again would only look like a hang.
    retries, start = PREFECT_CLIENT_MAX_RETRIES, PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS
    with temporary_settings({retries: 1, start: START_SECONDS}):
        _start_temporary_server()
        yield


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
            f"{url}: what answers there is no Prefect server; correct or unset PREFECT_API_URL"
        )
    if major != prefect.__version__.partition(".")[0]:
        raise PrefectServerRefused(
            f"{url}: a Prefect server {found} answers there, but this is Prefect {prefect.__version__};"
            " use a server of the same version or unset PREFECT_API_URL"
        )


def _start_temporary_server() -> None:
    from infra.temporary_server import TemporaryServer  # a second of imports, only where it is used

    server = TemporaryServer()
    if not server.answers_within(START_SECONDS):
        raise PrefectServerRefused(
            f"no temporary Prefect server starts here ({server.last_words()}); set PREFECT_HOME to an empty"
            " folder, or PREFECT_API_URL to a server"
        )
