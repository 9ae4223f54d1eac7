"""Disturbs runs at random and checks what they leave: `python -m benchmarks.soak --minutes 15`.

Writes benchmarks/results/soak.csv; exit code 1 where anything is lost, doubled or of other bytes. See
`benchmarks.reliability`.
"""

from __future__ import annotations

import sys

from benchmarks.reliability.soak import main

if __name__ == "__main__":
    sys.exit(main())
