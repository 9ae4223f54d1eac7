"""Disturb runs at random and check their outputs and rows: `python -m benchmarks.soak --minutes 15`.

Writes benchmarks/results/soak.csv; the exit code is 1 if anything is lost, doubled or changed. See
`benchmarks.reliability`.
"""

from __future__ import annotations

import sys

from benchmarks.reliability.soak import main

if __name__ == "__main__":
    sys.exit(main())
