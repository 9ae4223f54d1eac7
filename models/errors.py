"""Base class of the errors that models raise, and the line about an unknown name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ModelError(Exception):
    """Base of errors about networks, weights files and training; the message is one line."""


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """Return a line for a name that is unknown: it lists all names, and suggests the nearest one."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.7)
    suggestion = f"; did you mean {near[0]}?" if near else ""
    return f"{what} {name!r}: unknown; choose from {', '.join(names)}{suggestion}"
