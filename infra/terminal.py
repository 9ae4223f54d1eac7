"""Output to terminals whose encoding cannot represent every character."""

from __future__ import annotations

import io
import sys


def show_any_text() -> None:
    r"""Make standard output and error show any text: characters they cannot encode appear as `\xe9` or `\u2614`.

    A path may contain characters that the terminal cannot show, or bytes that are not text. A finished run must not
    fail because it prints the path of its outputs.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
