"""Tables of results as CSV: one row per measurement, with the fields of its dataclass as columns."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any


def rows_of(path: Path, row_type: type[Any]) -> list[dict[str, str]]:
    """Read the rows of a table; return none if its columns differ from the fields, as the table is out of date."""
    if not path.exists():
        return []
    with path.open(newline="") as lines:
        reader = csv.DictReader(lines)
        return list(reader) if reader.fieldnames == [field.name for field in fields(row_type)] else []


def write_table(rows: Sequence[Any], path: Path, kept: Sequence[Mapping[str, str]] = ()) -> None:
    """Write dataclasses of one type as a table, after `kept` rows of an earlier one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, [field.name for field in fields(rows[0])])
        writer.writeheader()
        writer.writerows([*kept, *map(asdict, rows)])
