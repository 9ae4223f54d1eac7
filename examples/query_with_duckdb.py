"""Count images by status with DuckDB, offline: `python examples/query_with_duckdb.py [WORKSPACE]`."""

import os
import sys

import duckdb
from deltalake import DeltaTable

workspace = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("DERAIN_WORKSPACE", "var")
derained = DeltaTable(f"{workspace}/catalog/derained").to_pyarrow_dataset()
print(duckdb.sql("SELECT status, reason, count(*) AS images FROM derained GROUP BY ALL ORDER BY images DESC"))
