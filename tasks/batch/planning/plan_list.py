"""The list of a plan's pending images (`write_list`), written as a manifest.

derain-batch accepts a list of photographs as a source. Frames of a Zarr array are listed by number, for information
only.
"""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet

from infra.storage.location import open_location
from tasks.batch.planning.plan import Plan
from tasks.media.key_hashes import CHUNK, chunks

SCHEMA = pa.schema([("base", pa.string()), ("key", pa.string()), ("etag", pa.string()), ("size", pa.int64())])


def write_list(found: Plan, base: str, workspace: str, run_id: str) -> str:
    """Write the pending images of a plan as `<workspace>/plans/<run_id>.parquet`; return its URL.

    Parameters
    ----------
    found : Plan
        The plan; read as a stream.
    base : str
        URL that the keys are relative to.
    workspace, run_id : str
        Workspace and run, which determine the path of the list.
    """
    file = io.BytesIO()
    with pyarrow.parquet.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        for refs in chunks(found.refs(), CHUNK):
            keys, etags, sizes = zip(*((ref.key, ref.etag, ref.size_bytes) for ref in refs), strict=True)
            columns = [
                pa.array([base] * len(refs)),
                pa.array(keys),
                pa.array(etags),
                pa.array(sizes, pa.int64()),
            ]
            writer.write_batch(pa.record_batch(columns, schema=SCHEMA))
    location = open_location(f"{workspace.rstrip('/')}/plans")
    location.put(f"{run_id}.parquet", file.getvalue())
    return f"{location.url}/{run_id}.parquet"
