"""Output of the console: results go to standard output, progress to standard error."""

from __future__ import annotations

import sys

from infra.shown import shown_line


def say(line: str) -> None:
    """Print a result."""
    sys.stdout.write(shown_line(line) + "\n")
    sys.stdout.flush()


def announce(line: str) -> None:
    """Print a line of progress."""
    sys.stderr.write(f"derain: {shown_line(line)}\n")
    sys.stderr.flush()
