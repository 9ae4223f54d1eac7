"""What the console says: results on standard output, what happens meanwhile on standard error."""

from __future__ import annotations

import sys

from infra.shown import shown_line


def say(line: str) -> None:
    """Say a result."""
    sys.stdout.write(shown_line(line) + "\n")
    sys.stdout.flush()


def announce(line: str) -> None:
    """Say what is being done."""
    sys.stderr.write(f"derain: {shown_line(line)}\n")
    sys.stderr.flush()
