"""The `derained` table as Arrow: its columns follow from `DerainRecord`, one for each field."""

from __future__ import annotations

import types
from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from typing import Union, get_args, get_origin, get_type_hints

import pyarrow as pa

from infra.records import DerainRecord

IDENTITY = ("source", "key", "etag", "destination", "export")
"""What makes an output itself: one row for each of these, whatever happens."""

COLUMNS = tuple(field.name for field in fields(DerainRecord))


class CatalogSchemaMismatch(Exception):
    """The workspace holds a `derained` table with other columns than this version writes."""


def record_schema() -> pa.Schema:
    """Give the Arrow schema of the table, in the order of the fields of `DerainRecord`."""
    hints = get_type_hints(DerainRecord)
    return pa.schema([_column(name, hints[name]) for name in COLUMNS])


def records_table(records: Iterable[DerainRecord]) -> pa.Table:
    """Turn records into a table; of several with one identity the last stays.

    A merge sees its own rows side by side: two of one identity would both be inserted.
    """
    unique = {tuple(getattr(record, name) for name in IDENTITY): record for record in records}
    rows = list(unique.values())
    columns = {name: [getattr(row, name) for row in rows] for name in COLUMNS}
    return pa.table(columns, schema=record_schema())


def table_records(table: pa.Table | pa.RecordBatch) -> list[DerainRecord]:
    """Turn rows of the whole table back into records."""
    return [DerainRecord(**row) for row in table.to_pylist()]


def check_schema(url: str, found: pa.Schema) -> None:
    """Refuse a table that this version did not write.

    Raises
    ------
    CatalogSchemaMismatch
        Names the table, the columns that differ and the way out.
    """
    wanted = _named_types(record_schema())
    there = _named_types(found)
    if wanted == there:
        return
    differing = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
    details = ", ".join(
        f"{name}: {there.get(name, 'absent')}, not {wanted.get(name, 'known')}" for name in differing
    )
    raise CatalogSchemaMismatch(
        f"{url} holds a table of another schema ({details}): "
        "use another workspace, or the version of this project that wrote it"
    )


def _column(name: str, hint: object) -> pa.Field:
    optional = get_origin(hint) in (Union, types.UnionType)
    plain = next(kind for kind in get_args(hint) if kind is not type(None)) if optional else hint
    return pa.field(name, _ARROW_TYPES[plain], nullable=optional)


def _named_types(schema: pa.Schema) -> dict[str, str]:
    """Column types by name; a view or large string holds the same text as a string."""
    return {field.name: _plain_name(field.type) for field in schema}


def _plain_name(kind: pa.DataType) -> str:
    return str(kind).removeprefix("large_").removesuffix("_view")


_ARROW_TYPES: dict[object, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    datetime: pa.timestamp("us", tz="UTC"),
}
