"""SQL conditions on the rows of a table (`all_of`, `quoted`)."""

from __future__ import annotations


def all_of(*conditions: str | None) -> str | None:
    """Join SQL conditions with AND; None stands for no condition."""
    return " AND ".join(condition for condition in conditions if condition) or None


def quoted(text: str) -> str:
    """Return text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"
