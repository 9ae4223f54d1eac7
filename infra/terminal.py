"""What a terminal can show."""

from __future__ import annotations

import io
import sys


def show_any_text() -> None:
    r"""Let standard output and error show any text: what their encoding lacks is written as `\xe9` or `\u2614`.

    A path may hold characters that the terminal has not, or bytes that are no text at all; a run that is over must
    not fail for telling where its outputs are.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
