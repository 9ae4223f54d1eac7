"""No line of a flow's command controls the terminal or reveals a password."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import State
from prefect.states import Completed, Failed

from flows.derain_batch import derain_batch
from flows.running import command_line
from flows.status import status
from infra.catalog.derained import Catalog
from infra.storage.location import open_location
from tests.support.samples.records import rejected
from tests.support.worlds.batch import changed_photo, model_path

HOSTILE = "a\x1b[2J\a.jpg"
SHOWN = "a\\x1b[2J\\x07.jpg"


@pytest.mark.parametrize("state", [Completed(message=f"{HOSTILE} is done"), Failed(message=HOSTILE)])
def test_the_last_line_of_a_flow_is_escaped(state: State[Any], capsys: pytest.CaptureFixture[str]) -> None:
    command_line._conclude(derain_batch, state)
    said = "".join(capsys.readouterr())
    assert SHOWN in said
    assert "\x1b" not in said


def test_the_lines_of_status_are_escaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, destination = tmp_path / "rainy", tmp_path / "out"
    source.mkdir()
    (source / "x.png").write_bytes(changed_photo(1))
    monkeypatch.setenv("DERAIN_WORKSPACE", str(tmp_path / "workspace"))
    (source / HOSTILE).touch()
    (empty,) = (ref for ref in open_location(str(source)).list() if ref.size_bytes == 0)
    place = {"source": str(source), "destination": str(destination), "export": "same-q92"}
    row = rejected(HOSTILE, empty.etag, **place)
    Catalog(str(tmp_path / "workspace")).commit([row], replace=False)
    status(str(source), str(destination), str(model_path(tmp_path)), "same", 92, 20)
    said = capsys.readouterr().out
    assert f"rejected  {SHOWN}: zero bytes" in said
    assert "\x1b" not in said


@pytest.fixture
def unguarded() -> Iterator[None]:
    """Make log records as Python does, even if an earlier import has guarded them."""
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(logging.LogRecord)
    yield
    logging.setLogRecordFactory(before)


@pytest.mark.usefixtures("unguarded")
def test_the_log_of_a_flow_shows_no_password(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def command() -> None:
        logging.getLogger("anybody").warning("http://me:hunter2@host is away")

    monkeypatch.setattr(command_line, "command_of", lambda *_: command)
    command_line.run(derain_batch)
    assert caplog.messages == ["http://***@host is away"]
