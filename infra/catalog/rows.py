"""Top-k queries over a stream of catalog rows, with never more than one batch and the answer in memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable
from hashlib import blake2b
from typing import Any

import pyarrow as pa

from infra.records import DerainRecord

Batches = Iterable[pa.RecordBatch]


def rainiest(batches: Batches, limit: int) -> list[DerainRecord]:
    """Return the rows with the largest `rain_energy`, largest first; rows without one come last."""
    return _smallest(
        batches, limit, lambda batch: [-(energy or 0.0) for energy in _values(batch, "rain_energy")]
    )


def lowest_hashes(batches: Batches, limit: int) -> list[DerainRecord]:
    """Return the rows whose keys have the lowest hashes: a random sample that is the same on any machine."""
    return _smallest(batches, limit, lambda batch: [_digest(key) for key in _values(batch, "key")])


def first_keys(batches: Batches, limit: int) -> list[DerainRecord]:
    """Return the rows whose keys come first in sorted order."""
    return _smallest(batches, limit, lambda batch: [""] * batch.num_rows)


def of_images(batches: Batches, wanted: Collection[tuple[str, str]]) -> list[DerainRecord]:
    """Return the rows with a key and an etag that are wanted, by key."""
    found = []
    for batch in batches:
        images = zip(_values(batch, "key"), _values(batch, "etag"), strict=True)
        found += batch.filter(pa.array([image in wanted for image in images], pa.bool_())).to_pylist()
    return [DerainRecord(**row) for row in sorted(found, key=lambda row: row["key"])]


def _smallest(
    batches: Batches, limit: int, ranks: Callable[[pa.RecordBatch], list[Any]]
) -> list[DerainRecord]:
    """Keep the `limit` rows of lowest rank; ties are broken by key and etag."""
    kept: list[tuple[Any, str, str, DerainRecord]] = []
    for batch in batches:
        ranked = zip(
            ranks(batch), _values(batch, "key"), _values(batch, "etag"), range(batch.num_rows), strict=True
        )
        best = heapq.nsmallest(limit, ranked)
        rows = [
            DerainRecord(**row)
            for row in batch.take(pa.array([row for *_, row in best], pa.int64())).to_pylist()
        ]
        kept += [(rank, key, etag, record) for (rank, key, etag, _), record in zip(best, rows, strict=True)]
        kept = heapq.nsmallest(limit, kept, key=lambda entry: entry[:3])
    return [record for *_, record in kept]


def _values(batch: pa.RecordBatch, column: str) -> list[Any]:
    values: list[Any] = batch.column(column).to_pylist()
    return values


def _digest(key: str) -> bytes:
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
