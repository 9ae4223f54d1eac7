"""Results as CSV: a row a measurement, columns the fields of its dataclass."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any


def rows_of(path: Path, row_type: type[Any]) -> list[dict[str, str]]:
    """Read a table that was written before; one of other columns is out of date as a whole, so that it is empty."""
    if not path.exists():
        return []
    with path.open(newline="") as lines:
        reader = csv.DictReader(lines)
        return list(reader) if reader.fieldnames == [field.name for field in fields(row_type)] else []


def write_table(rows: Sequence[Any], path: Path, kept: Sequence[Mapping[str, str]] = ()) -> None:
    """Write dataclasses of one type as a table, after rows that were there before and are kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, [field.name for field in fields(rows[0])])
        writer.writeheader()
        writer.writerows([*kept, *map(asdict, rows)])
