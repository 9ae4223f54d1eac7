"""Refuse a challenger that got worse on night scenes: `python examples/gate_of_your_own.py EVALUATION.parquet`.

`flows.evaluate` and `flows.promote` write `<workspace>/evaluations/<run>.parquet`, with one row per photograph and
network.
"""

import sys

import polars as pl

scores = pl.read_parquet(sys.argv[1]).filter(pl.col("scene").str.contains("night"))
pairs = scores.pivot(on="role", index="key", values="psnr_y")
gain = (pairs["challenger"] - pairs["champion"]).mean()
print(f"{pairs.height} night scenes, challenger {gain or 0:+.2f} dB")
sys.exit(gain is None or gain < -0.1)
