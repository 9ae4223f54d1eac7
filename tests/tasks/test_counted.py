from __future__ import annotations

import logging
import sys

import pytest

from tasks import counted as tested
from tasks.counted import counted


def test_a_run_without_a_terminal_logs_where_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(tested, "run_log", lambda: logging.getLogger("derain"))
    monkeypatch.setattr(tested, "LOG_SECONDS", -1.0)
    with caplog.at_level(logging.INFO, "derain"):
        assert list(counted(iter("abc"), "evaluating", "photograph", 3)) == ["a", "b", "c"]
    assert caplog.messages == [f"evaluating photograph {number} of 3" for number in (1, 2, 3)]


def test_a_terminal_shows_a_bar_and_no_lines(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(tested, "LOG_SECONDS", -1.0)
    assert list(counted("abc", "evaluating", "photograph", 3)) == ["a", "b", "c"]
    assert "evaluating: 100%" in capsys.readouterr().err
    assert caplog.messages == []
