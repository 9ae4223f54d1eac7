"""Parts of a Markdown page in Prefect: escaped text from outside (`escaped`), tables, and the link to a report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tasks.pages.templates import visible
from tasks.readable import most_frequent

MOST_REASONS = 10
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~&])")


def escaped(text: str) -> str:
    """Escape text so that Markdown shows it unchanged, in one line."""
    return _MARKUP.sub(r"\\\1", " ".join(visible(text).split()))


def table(head: tuple[str, str], rows: Sequence[tuple[str, str]]) -> str:
    """Return a table of two columns; the cells are Markdown."""
    lines = [head, ("---", "---"), *rows]
    return "\n".join(f"| {left} | {right} |" for left, right in lines)


def rejected_table(reasons: Mapping[str, int]) -> str:
    """Return a table of rejected images by reason, most frequent first; empty without rejects."""
    ordered = most_frequent(reasons)
    if not ordered:
        return ""
    rows = [(escaped(reason), f"{images:,}") for reason, images in ordered[:MOST_REASONS]]
    rest = sum(images for _, images in ordered[MOST_REASONS:])
    return table(("rejected because", "images"), [*rows, *([("other reasons", f"{rest:,}")] if rest else [])])


def report_line(place: str, link: str | None) -> str:
    """Return a line with the location of the report, and a link if a browser can open it."""
    shown = f"Report: `{visible(place).replace('`', '')}`"
    return f"{shown} ([open]({link}))" if link else shown


def joined(parts: Sequence[str]) -> str:
    """Join parts as paragraphs, without the empty ones."""
    return "\n\n".join(part for part in parts if part) + "\n"
