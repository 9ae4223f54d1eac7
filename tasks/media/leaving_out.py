"""Descriptions of the objects that a run leaves out."""

from __future__ import annotations

from infra.storage.listing import LeftOut
from tasks.codec.conversion import describe_unsupported
from tasks.readable import by_reason, with_reasons


def left_out_parts(left_out: LeftOut) -> list[str]:
    """Return the parts of a run's line about objects that were left out; empty if there are none."""
    parts = []
    if left_out.total:
        parts.append(with_reasons(f"{left_out.total:,} left out", left_out.objects))
    parts += _not_entered(left_out)
    if left_out.stopped_at is not None:
        parts.append(f"listed up to --limit {left_out.stopped_at:,}")
    return parts + describe_unsupported(left_out.objects)


def describe_left_out(left_out: LeftOut) -> str:
    """Describe the contents of a source in which no image was found."""
    text = f"{left_out.total:,} other object{'' if left_out.total == 1 else 's'}"
    if left_out.total:
        text += f": {by_reason(left_out.objects)}"
    return "; ".join([text, *describe_unsupported(left_out.objects), *_not_entered(left_out)])


def _not_entered(left_out: LeftOut) -> list[str]:
    number = left_out.folders.total()
    folders = f"{number:,} folder{'' if number == 1 else 's'} not entered"
    return [with_reasons(folders, left_out.folders)] if number else []
