"""Count images by status and reason of rejection: `python examples/query_the_catalog.py [WORKSPACE]`."""

import os
import sys

import polars as pl

workspace = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("DERAIN_WORKSPACE", "var")
table = pl.scan_delta(f"{workspace}/catalog/derained")
print(table.group_by("status", "reason").len().sort("len", descending=True).collect())
