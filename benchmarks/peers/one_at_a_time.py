"""The same job in the way of most repositories of deraining papers: one photograph after the other, in fp32.

    python -m benchmarks.peers.one_at_a_time WEIGHTS SOURCE DESTINATION

All cores work on one photograph. Prints the seconds of the loop, without the start.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from benchmarks.peers.photograph import derain_file
from models.modelfile import build, read_model_file


def main(weights: Path, source: Path, destination: Path) -> None:
    """Derain a folder."""
    destination.mkdir()
    network = build(read_model_file(weights))
    began = time.perf_counter()
    for path in sorted(source.iterdir()):
        derain_file(network, path, destination)
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
