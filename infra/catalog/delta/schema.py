"""Specifications of the catalog's tables, and their Arrow schemas, which have one column per field of a record."""

from __future__ import annotations

import types
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Union, get_args, get_origin, get_type_hints

import pyarrow as pa

from infra.errors import UserError

VERSION = "commit_version"
"""Name of the column that says which row is newer: see `TableSpec.version_column`."""


@dataclass(frozen=True, slots=True)
class TableSpec:
    """The specification of one table of the catalog."""

    name: str
    """Folder of the table below `<workspace>/catalog`."""
    kind: type
    """Dataclass of a row; a table with other columns is refused."""
    identity: tuple[str, ...]
    """Columns that identify a row: there is never more than one row per combination of their values."""
    indexed: tuple[str, ...]
    """Columns whose smallest and largest values are kept per file."""
    keeps_versions: bool = False
    """Whether all versions stay available; otherwise those older than seven days may be removed."""
    version_column: str | None = None
    """Column with the version of the table that committed the row, which orders rows independently of the machines'
    clocks. It is not a field of `kind`. In rows written by earlier versions of this project, which are older than
    all others, it is null."""


class CatalogSchemaMismatch(UserError):
    """The workspace holds a table whose columns differ from those that this version writes."""


def record_schema(kind: type) -> pa.Schema:
    """Return the Arrow schema of a record type, in the order of its fields."""
    hints = get_type_hints(kind)
    return pa.schema([_column(field.name, hints[field.name]) for field in fields(kind)])


def table_schema(spec: TableSpec) -> pa.Schema:
    """Return the Arrow schema of a table as it is stored: the record's columns and the version column."""
    schema = record_schema(spec.kind)
    if spec.version_column is None:
        return schema
    return schema.append(pa.field(spec.version_column, pa.int64()))


def missing_columns(found: pa.Schema, wanted: pa.Schema) -> list[pa.Field]:
    """Return the columns that a table written by an earlier version of this project lacks."""
    return [column for column in wanted if column.name not in found.names]


def records_table(records: Iterable[object], spec: TableSpec) -> pa.Table:
    """Convert records to rows of a table; of several records with the same identity, the last is kept.

    A merge does not compare its own rows with one another: two of the same identity would both be inserted.
    """
    unique = {tuple(getattr(record, name) for name in spec.identity): record for record in records}
    schema = record_schema(spec.kind)
    return pa.table({field.name: _values(unique.values(), field) for field in schema}, schema=schema)


def check_schema(url: str, found: pa.Schema, wanted: pa.Schema) -> None:
    """Refuse a table that was written by neither this version nor an earlier one.

    Nullable columns may be missing, because earlier versions did not have them.

    Raises
    ------
    CatalogSchemaMismatch
        The message names the table, the columns that differ and the way out.
    """
    stored = _named_types(found)
    expected = _named_types(
        pa.schema([field for field in wanted if field.name in stored or not field.nullable])
    )
    if expected == stored:
        return
    differing = sorted(
        name for name in expected.keys() | stored.keys() if expected.get(name) != stored.get(name)
    )
    details = ", ".join(
        f"{name}: {stored.get(name, 'absent')}, not {expected.get(name, 'known')}" for name in differing
    )
    raise CatalogSchemaMismatch(
        f"{url} holds a table of another schema ({details}): "
        "use another workspace, or the version of this project that wrote it"
    )


def _values(records: Iterable[object], column: pa.Field) -> list[Any]:
    values = [getattr(record, column.name) for record in records]
    if pa.types.is_list(column.type):  # a list of records, which Arrow only takes as dictionaries
        return [[asdict(item) for item in items] for items in values]
    return values


def _column(name: str, hint: object) -> pa.Field:
    optional = get_origin(hint) in (Union, types.UnionType)
    plain = next(kind for kind in get_args(hint) if kind is not type(None)) if optional else hint
    return pa.field(name, _arrow_type(plain), nullable=optional)


def _arrow_type(kind: object) -> pa.DataType:
    """Return the Arrow type of a plain type, or of a tuple of records, which becomes a list of structs."""
    if get_origin(kind) is tuple:
        (item, _) = get_args(kind)
        return pa.list_(pa.field("element", pa.struct(list(record_schema(item)))))
    return _ARROW_TYPES[kind]


def _named_types(schema: pa.Schema) -> dict[str, str]:
    """Return column types by name, where string views and large strings count as strings."""
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
