"""Formatting of numbers and reasons for people (`duration`, `rate`, `percentage`, `by_reason`)."""

from __future__ import annotations

from collections.abc import Mapping

from infra.errors import printable

MOST_REASONS_SHOWN = 5
LONGEST_REASON = 60


def duration(seconds: float) -> str:
    """Format a duration: `4.2 s`, `41 s`, `3 min 05 s`, `2 h 04 min`."""
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def rate(value: float) -> str:
    """Format a rate with one decimal, or with two digits if it is below one: `1,234.5`, `2.1`, `0.034`."""
    return f"{value:,.1f}" if value >= 0.95 or value == 0 else f"{value:.2g}"


def percentage(share: float) -> str:
    """Format a fraction in per cent: `12 %`, with a decimal below one: `0.4 %`, or `less than 0.1 %`."""
    if 0 < share < 0.0005:
        return "less than 0.1 %"
    return f"{100 * share:.{1 if share < 0.01 else 0}f} %"


def short_reason(reason: str | None) -> str:
    """Remove the numbers in brackets from a reason, so that it is the same for all images."""
    return (reason or "").partition(" (")[0]


def most_frequent(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return counts by reason, largest first, and equal ones in alphabetical order."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def by_reason(counts: Mapping[str, int]) -> str:
    """Format counts by reason, largest first: `4 truncated JPEG, 2 zero bytes`; rare reasons are combined."""
    ordered = most_frequent(counts)
    shown, rest = ordered[:MOST_REASONS_SHOWN], ordered[MOST_REASONS_SHOWN:]
    parts = [f"{number:,} {_cut(reason)}" for reason, number in shown]
    if rest:
        parts.append(f"{sum(number for _, number in rest):,} for other reasons")
    return ", ".join(parts)


def with_reasons(text: str, counts: Mapping[str, int]) -> str:
    """Append counts by reason in brackets, if there are any."""
    return f"{text} ({by_reason(counts)})" if counts else text


def _cut(reason: str) -> str:
    text = printable(reason)
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"
