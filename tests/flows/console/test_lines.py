"""Lines that the console prints cannot control the terminal."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flows.console.lines import announce, say


@pytest.mark.parametrize("write", [say, announce])
def test_control_characters_of_a_key_are_escaped(
    write: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    write("a\x1b[2Jb\a\n.jpg is at http://me:hunter2@host/")
    said = capsys.readouterr()
    assert (said.out + said.err).removeprefix("derain: ") == (
        "a\\x1b[2Jb\\x07\\n.jpg is at http://***@host/\n"
    )
