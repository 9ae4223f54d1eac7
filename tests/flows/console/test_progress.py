"""The bar of a terminal does not share its line with what is announced before the first result."""

from __future__ import annotations

import io
import sys

import pytest

from flows.console.progress import ConsoleProgress
from tasks.waves.tally import Tally


class Terminal(io.StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self) -> bool:
        return True


def test_the_bar_opens_with_the_first_result(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with ConsoleProgress(4) as progress:
        assert terminal.getvalue() == ""
        progress.show(Tally())
        assert "0/4" in terminal.getvalue()


def test_without_any_result_no_bar_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with ConsoleProgress(4):
        pass
    assert terminal.getvalue() == ""
