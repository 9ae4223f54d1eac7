"""Reviewers' decisions (`read_decisions`): the file that the review page saves and the next curation reads.

The file is a JSON list of objects or a CSV with a header. Both have exactly the fields `crop_id`, `judgement`
(which pseudo-label was seen) and `decision` (`accept` or `reject`).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from typing import Any

from infra.errors import UserError
from infra.settings import absolute_url
from infra.storage.location import open_location

DECISIONS = ("accept", "reject")
MOST_BYTES = 64 * 1024 * 1024
_NAMED = 3
"""Largest number of crops that an error message names."""


class DecisionsInvalid(UserError):
    """Raised if a decision file cannot be used; the message names the file, the position in it and the remedy."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A reviewer's decision on one pseudo-label."""

    crop_id: str
    judgement: str
    decision: str


_COLUMNS = tuple(field.name for field in fields(Decision))


def read_decisions(url: str, crop_ids: Collection[str]) -> list[Decision]:
    """Read and check a decision file.

    Parameters
    ----------
    url : str
        A path or URL, ending in `.json` or `.csv`.
    crop_ids : collection of str
        The crops that decisions may refer to.

    Raises
    ------
    DecisionsInvalid
        If the file is not a decision file: another format, other columns, unknown words or crops, or two decisions
        on one crop.
    ObjectNotFound, AccessDenied, TransientError
        If it cannot be fetched.
    """
    rows = _rows(url, fetch_decisions(url))
    decisions = [_decision(url, number, row) for number, row in enumerate(rows, start=1)]
    _refuse_repeated(url, decisions)
    unknown = sorted({each.crop_id for each in decisions}.difference(crop_ids))
    if unknown:
        raise DecisionsInvalid(
            f"{url}: {len(unknown)} of {len(decisions)} decisions are on crops that the pool's training split does"
            f" not have ({_some(unknown)}): it was made for another workspace"
        )
    return decisions


def fetch_decisions(url: str) -> bytes:
    """Return the raw bytes of a decision file, given its path or URL.

    Raises
    ------
    ObjectNotFound, AccessDenied, TransientError
        If it cannot be fetched.
    """
    folder, _, name = absolute_url(url).rpartition("/")
    return open_location(folder).fetch(name)


def _rows(url: str, data: bytes) -> Sequence[Any]:
    if len(data) > MOST_BYTES:
        raise DecisionsInvalid(f"{url}: {len(data):,} bytes are too many for a file of decisions")
    try:
        text = data.decode("utf-8-sig")
        if url.lower().endswith(".csv"):
            return list(csv.DictReader(io.StringIO(text, newline="")))
        rows = json.loads(text)
    except (ValueError, RecursionError, csv.Error) as error:
        raise DecisionsInvalid(
            f"{url}: not readable as JSON or CSV ({error}); save it again from the review page"
        ) from error
    if not isinstance(rows, list):
        raise DecisionsInvalid(
            f"{url}: does not hold a list of decisions; save it again from the review page"
        )
    return rows


def _decision(url: str, number: int, row: Any) -> Decision:
    if not isinstance(row, dict) or set(row) != set(_COLUMNS):
        found = ", ".join(map(str, row)) if isinstance(row, dict) else repr(row)
        raise DecisionsInvalid(
            f"{url}: row {number} has {_cut(found) or 'nothing'}, but must have exactly {', '.join(_COLUMNS)}"
        )
    if not all(isinstance(value, str) and value for value in row.values()):
        raise DecisionsInvalid(f"{url}: row {number} has a value that is missing or not text")
    if row["decision"] not in DECISIONS:
        word = _cut(row["decision"])
        raise DecisionsInvalid(f"{url}: row {number}: decision {word!r}; use {' or '.join(DECISIONS)}")
    return Decision(**row)


def _refuse_repeated(url: str, decisions: Sequence[Decision]) -> None:
    seen: set[str] = set()
    for number, each in enumerate(decisions, start=1):
        if each.crop_id in seen:
            raise DecisionsInvalid(f"{url}: row {number}: a second decision on crop {_cut(each.crop_id)}")
        seen.add(each.crop_id)


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(_cut, names[:_NAMED])) + (", ..." if len(names) > _NAMED else "")


def _cut(text: str) -> str:
    """Return the beginning of an untrusted text, without control characters that could affect a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text[:60])
