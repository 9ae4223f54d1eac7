"""Tables of the catalog as Arrow: their columns follow from the records, one for each field."""

from __future__ import annotations

import types
from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from typing import Any, Union, get_args, get_origin, get_type_hints

import pyarrow as pa

from infra.records import DerainRecord

IDENTITY = ("source", "key", "etag", "destination", "export")
"""What makes an output itself: one row for each of these, whatever happens."""

COLUMNS = tuple(field.name for field in fields(DerainRecord))


class CatalogSchemaMismatch(Exception):
    """The workspace holds a table with other columns than this version writes."""


def record_schema(kind: type = DerainRecord) -> pa.Schema:
    """Give the Arrow schema of a record's table, in the order of its fields."""
    hints = get_type_hints(kind)
    return pa.schema([_column(field.name, hints[field.name]) for field in fields(kind)])


def records_table(records: Iterable[Any], identity: tuple[str, ...] = IDENTITY) -> pa.Table:
    """Turn records of one kind, at least one, into a table; of several with one identity the last stays.

    A merge sees its own rows side by side: two of one identity would both be inserted.
    """
    unique = {tuple(getattr(record, name) for name in identity): record for record in records}
    rows = list(unique.values())
    schema = record_schema(type(rows[0]))
    return pa.table({name: [getattr(row, name) for row in rows] for name in schema.names}, schema=schema)


def table_records(table: pa.Table | pa.RecordBatch) -> list[DerainRecord]:
    """Turn rows of the whole table back into records."""
    return [DerainRecord(**row) for row in table.to_pylist()]


def check_schema(url: str, found: pa.Schema, wanted: pa.Schema) -> None:
    """Refuse a table that this version did not write.

    Raises
    ------
    CatalogSchemaMismatch
        Names the table, the columns that differ and the way out.
    """
    ours, there = _named_types(wanted), _named_types(found)
    if ours == there:
        return
    differing = sorted(name for name in ours.keys() | there.keys() if ours.get(name) != there.get(name))
    details = ", ".join(
        f"{name}: {there.get(name, 'absent')}, not {ours.get(name, 'known')}" for name in differing
    )
    raise CatalogSchemaMismatch(
        f"{url} holds a table of another schema ({details}): "
        "use another workspace, or the version of this project that wrote it"
    )


def _column(name: str, hint: object) -> pa.Field:
    optional = get_origin(hint) in (Union, types.UnionType)
    plain = next(kind for kind in get_args(hint) if kind is not type(None)) if optional else hint
    return pa.field(name, _arrow_type(plain), nullable=optional)


def _arrow_type(kind: object) -> pa.DataType:
    """Find the Arrow type of a plain type, or of a tuple of records, which becomes a list of structs."""
    if get_origin(kind) is tuple:
        (item, _) = get_args(kind)
        return pa.list_(pa.field("element", pa.struct(list(record_schema(item)))))
    return _ARROW_TYPES[kind]


def _named_types(schema: pa.Schema) -> dict[str, str]:
    """Column types by name; a view or large string holds the same text as a string."""
    return {field.name: _plain_name(field.type) for field in schema}


def _plain_name(kind: pa.DataType) -> str:
    return str(kind).removeprefix("large_").removesuffix("_view")


_ARROW_TYPES: dict[object, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    bool: pa.bool_(),
    float: pa.float64(),
    datetime: pa.timestamp("us", tz="UTC"),
}
