"""Log lines as JSON: from Prefect's console handler and from others, but only those that go to a stream."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from prefect.logging.handlers import APILogHandler, PrefectConsoleHandler

from flows.running.flow_settings import flow_settings
from infra.json_logs import _stream_handlers, log_as_json

STRANGE = 'key "a\\b"\nsecond line 雨 [bold]x[/bold]'


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Restore the formatters of this process's handlers, including those of pytest."""
    formatters = [(handler, handler.formatter) for handler in _stream_handlers()]
    yield
    for handler, formatter in formatters:
        handler.setFormatter(formatter)


@pytest.fixture(params=[logging.StreamHandler, PrefectConsoleHandler])
def written(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """Yield the output of a handler of the logger `derain.test`."""
    stream = io.StringIO()
    handler, logger = request.param(stream), logging.getLogger("derain.test")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield stream
    logger.removeHandler(handler)


@pytest.mark.parametrize("calls", [1, 2])
def test_each_record_is_one_object_with_its_own_fields(written: io.StringIO, calls: int):
    for _ in range(calls):
        log_as_json()
    logger = logging.getLogger("derain.test")
    logger.info(STRANGE, extra={"flow_run_id": "run-1", "flow_run_name": "quick-fox"})
    logger.error("%d images", 3)
    first, second = map(json.loads, written.getvalue().splitlines())
    assert first["message"] == STRANGE
    assert (first["level"], first["logger"], first["flow_run_id"]) == ("INFO", "derain.test", "run-1")
    assert first["time"][4] == "-"
    assert second["message"] == "3 images"


def test_a_traceback_stays_on_the_line(written: io.StringIO):
    log_as_json()
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("derain.test").exception("it failed")
    (line,) = written.getvalue().splitlines()
    assert "ValueError: broken" in json.loads(line)["exc_info"]


def test_records_for_prefects_server_stay_text():
    handler = APILogHandler()
    logging.getLogger("derain.test").addHandler(handler)
    try:
        log_as_json()
        assert handler.formatter is None
    finally:
        logging.getLogger("derain.test").removeHandler(handler)


@pytest.mark.parametrize(("value", "is_json"), [("text", False), ("json", True)])
def test_a_setting_turns_it_on_in_flows(
    written: io.StringIO, monkeypatch: pytest.MonkeyPatch, value: str, is_json: bool
):
    monkeypatch.setenv("DERAIN_LOG_FORMAT", value)
    flow_settings()
    logging.getLogger("derain.test").info("ready")
    assert written.getvalue().startswith("{") == is_json
