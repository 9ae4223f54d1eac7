"""Compaction of a Delta table (`compact`), once many small files have accumulated."""

from __future__ import annotations

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, WriterProperties

COMPACT_AT = 64
"""Number of small files at which compaction pays; each commit adds one file."""
FILE_BYTES = 16 * 1024 * 1024
"""Target size of a compacted file in bytes: about 250,000 rows, so that replacing a row rewrites little."""
WRITER = WriterProperties(compression="ZSTD", max_row_group_size=65_536)


def compact(table: DeltaTable) -> bool:
    """Compact a table if it pays, as one commit; return whether it did."""
    if _small_files(table) < COMPACT_AT:
        return False
    table.optimize.compact(
        target_size=FILE_BYTES,
        max_concurrent_tasks=1,
        writer_properties=WRITER,
        commit_properties=no_rebase(),
    )
    return True


def no_rebase() -> CommitProperties:
    """Return commit properties that forbid rebasing: a commit that lost a race must read the rows again."""
    return CommitProperties(max_commit_retries=0)


def _small_files(table: DeltaTable) -> int:
    sizes = pa.table(table.get_add_actions(flatten=True)).column("size_bytes").to_pylist()
    return sum(size < FILE_BYTES // 2 for size in sizes)
