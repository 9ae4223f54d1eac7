"""A terminal that cannot show a path does not make a completed command fail."""

from __future__ import annotations

import io
import sys

import pytest

from flows.console import app
from flows.console.lines import say


def test_characters_that_a_terminal_cannot_show_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")

    def derained(words: list[str]) -> int:
        say("outputs: /photos/雨")
        return 0

    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(app.signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(app, "run", derained)
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 0
    assert terminal.buffer.getvalue() == b"outputs: /photos/\\u96e8\n"
