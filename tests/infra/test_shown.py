"""Shown text cannot control a terminal and reveals no password."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from infra.errors import StorageError
from infra.settings import Settings
from infra.shown import guard_logs, shown, shown_line
from infra.tracking.registry import Registry
from infra.tracking.server import TrackingUnreachable
from tasks.waves.tally import Tally
from tasks.workers.unfinished import Unfinished

PASSWORD = "hunter2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://me:hunter2@host:5000/api is away", "http://***@host:5000/api is away"),
        ("postgresql+psycopg2://me:hunter2@db/mlflow", "postgresql+psycopg2://***@db/mlflow"),
        ("mysql://me:hun@ter2@db/mlflow", "mysql://***@db/mlflow"),
        ("postgresql://me:hunter2/more@db/mlflow", "postgresql://***@db/mlflow"),
        ("https://hunter2@host/", "https://***@host/"),
        ("('http://me:hunter2@host', 'http://you:hunter2@host')", "('http://***@host', 'http://***@host')"),
        ("db://host/x?sslmode=on&sslpassword=hunter2&a=b", "db://host/x?sslmode=on&sslpassword=***&a=b"),
        ("s3://photos/rainy/IMG@2x.jpg", "s3://photos/rainy/IMG@2x.jpg"),
        ("http://host:5000/api/IMG@2x.jpg", "http://host:5000/api/IMG@2x.jpg"),
        ("mail me@example.org: 3 images", "mail me@example.org: 3 images"),
    ],
)
def test_users_and_passwords_of_urls_are_hidden(text: str, expected: str) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x1b[2Jb.jpg", "a\\x1b[2Jb.jpg"),
        ("\a\b\x7f\x9b", "\\x07\\x08\\x7f\\x9b"),
        ("over\rwritten", "over\\rwritten"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("雨 é ☔ a\tb", "雨 é ☔ a\tb"),
    ],
)
def test_control_characters_are_escaped(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_a_line_stays_one() -> None:
    assert shown_line("a\nb\r\n") == "a\\nb\\r\\n"


def test_every_error_of_ours_can_be_shown() -> None:
    error = StorageError(f"http://me:{PASSWORD}@host/a\x1b]0;title\a: gone")
    assert str(error) == "http://***@host/a\\x1b]0;title\\x07: gone"


def test_the_line_of_pending_images_can_be_shown() -> None:
    tally = Tally()
    tally.unfinished.append(Unfinished("a\x1b[31m\n.jpg", "time-out"))
    assert "(a\\x1b[31m\\n.jpg: time-out)" in tally.pending_line(1)


@pytest.mark.parametrize(
    "uri", ["http://me:hunter2@127.0.0.1:9", "postgresql://me:hunter2@127.0.0.1:9/mlflow"]
)
def test_a_tracking_server_that_is_away_is_named_without_its_password(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    settings = Settings(tracking_uri=uri, _env_file=None)
    assert PASSWORD not in repr(settings)
    with pytest.raises(TrackingUnreachable) as raised:
        Registry(settings).resolve("models:/derain-student@champion")
    assert "***@127.0.0.1:9" in str(raised.value)
    assert PASSWORD not in str(raised.value)


@pytest.fixture
def guarded() -> Iterator[None]:
    before = logging.getLogRecordFactory()
    guard_logs()
    guard_logs()
    yield
    logging.setLogRecordFactory(before)


@pytest.mark.usefixtures("guarded")
def test_no_log_line_gives_a_password_away(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ConnectionError(f"http://me:{PASSWORD}@host is away")
    except ConnectionError:
        logging.getLogger("anybody").warning("%s %d%%", f"http://me:{PASSWORD}@host/\x1b", 5, exc_info=True)
    assert "http://***@host/\\x1b 5%" in caplog.text
    assert "ConnectionError: http://***@host is away" in caplog.text
    assert PASSWORD not in caplog.text
