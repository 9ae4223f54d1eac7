"""A wrong server at Prefect's address, or none that starts, is refused quickly in one line."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, PREFECT_API_URL, temporary_settings

from flows.alerts import alerts
from flows.running import prefect_server as tested
from flows.running.prefect_server import PrefectServerRefused, prefect_server
from infra.prefect import temporary_server
from infra.prefect.temporary_server import TemporaryServer
from tests.support.servers.prefect_server import PrefectServer


@contextmanager
def answering(status: int, body: bytes, kind: str) -> Iterator[str]:
    """Answer every request in the same way."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


ANSWERS = [
    (200, b"<html>router</html>", "text/html", "is not Prefect's"),
    (200, b'{"status": "ok"}', "application/json", "is not Prefect's"),
    (200, b'"2.20.4"', "application/json", "2.20.4 answers there, but this is Prefect 3"),
    (404, b"not here", "text/plain", "no Prefect server answers there"),
    (503, b"busy", "text/plain", "no Prefect server answers there"),
    (302, b"", "text/plain", "no Prefect server"),
]


@pytest.mark.parametrize(("status", "body", "kind", "line"), ANSWERS[2:5])
def test_the_command_that_makes_alerts_refuses_it_too(status: int, body: bytes, kind: str, line: str) -> None:
    with (
        answering(status, body, kind) as url,
        temporary_settings({PREFECT_API_URL: url}),
        pytest.raises(PrefectServerRefused, match=f"^{url}: .*{line}"),
    ):
        alerts()


@pytest.mark.parametrize(("status", "body", "kind", "line"), ANSWERS)
def test_something_else_that_answers_is_one_line(status: int, body: bytes, kind: str, line: str) -> None:
    with (
        answering(status, body, kind) as url,
        temporary_settings({PREFECT_API_URL: url}),
        pytest.raises(PrefectServerRefused, match=line) as refused,
        prefect_server(),
    ):
        pass
    assert str(refused.value).startswith(url)
    assert "\n" not in str(refused.value)


def test_something_that_listens_and_never_answers_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tested, "ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/api"
        hanging_up = threading.Timer(20.0, _hang_up, [deaf])
        hanging_up.start()
        with (
            temporary_settings({PREFECT_API_URL: url}),
            pytest.raises(PrefectServerRefused, match="no Prefect server answers there") as refused,
            prefect_server(),
        ):
            pass
        hanging_up.cancel()
    assert "disconnected" not in str(refused.value)  # the run did not wait until the server disconnected


def _hang_up(deaf: socket.socket) -> None:
    deaf.accept()[0].close()


@pytest.mark.slow
def test_a_server_of_this_version_is_taken(server: PrefectServer) -> None:
    with temporary_settings({PREFECT_API_URL: server.url}), prefect_server():
        pass


def test_a_temporary_server_that_ends_is_noticed_and_its_last_words_are_shown(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = "import sys; sys.stderr.write('Traceback\\n' * 100 + 'no such table\\n'); sys.exit(1)"
    monkeypatch.setattr(temporary_server, "command", lambda port: [sys.executable, "-c", words])
    monkeypatch.setattr(TemporaryServer, "_instances", {})
    with pytest.raises(PrefectServerRefused, match=r"starts here \(no such table\)"):
        tested._start_temporary_server()
    assert capfd.readouterr().err == ""


def test_a_database_that_cannot_be_opened_is_refused_before_a_server_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def started(server: TemporaryServer, seconds: float) -> bool:
        raise AssertionError("started")

    monkeypatch.setattr(TemporaryServer, "answers_within", started)
    url = "postgresql+asyncpg://me:hunter2@127.0.0.1:9/prefect"
    with (
        temporary_settings({PREFECT_API_DATABASE_CONNECTION_URL: url}),
        pytest.raises(PrefectServerRefused, match=r"\*\*\*@127.0.0.1:9/prefect: .* cannot be opened"),
    ):
        tested._start_temporary_server()


@pytest.mark.parametrize(
    ("is_terminal", "shown"), [(True, "starting a temporary Prefect server\n"), (False, "")]
)
def test_a_terminal_shows_that_a_server_is_starting(
    is_terminal: bool, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal, raising=False)
    monkeypatch.setattr("infra.prefect.database.database_fault", lambda: None)
    monkeypatch.setattr(TemporaryServer, "answers_within", lambda self, seconds: True)
    with temporary_settings(restore_defaults={PREFECT_API_URL}), prefect_server():
        pass
    assert capsys.readouterr().err == shown
