"""Figures as people read them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Write a time span for people: `4.2 s`, `41 s`, `3 min 05 s`, `2 h 04 min`."""
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def rate(value: float) -> str:
    """Write a rate with one decimal, or two digits where it is below one: `1,234.5`, `2.1`, `0.034`."""
    return f"{value:,.1f}" if value >= 0.95 or value == 0 else f"{value:.2g}"


def percentage(share: float) -> str:
    """Write a share in per cent, with a decimal where it is below one: `12 %`, `0.4 %`."""
    return f"{100 * share:.{1 if share < 0.01 else 0}f} %"
