"""The script that a user would write instead of this project: a network, a folder and `multiprocessing`.

    python -m benchmarks.peers.pool WEIGHTS SOURCE DESTINATION

It has no retries, no record of finished images, no protection against torn files and no metadata.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import sys
from pathlib import Path

from torch import nn

from benchmarks.peers.photograph import derain_file, load_bf16


@functools.cache
def network(weights: Path) -> nn.Module:
    """Load the network once per process."""
    return load_bf16(weights)


def derain(weights: Path, destination: Path, path: Path) -> None:
    """Derain one photograph."""
    derain_file(network(weights), path, destination)


def main(weights: Path, source: Path, destination: Path) -> None:
    """Derain a folder with one process per core."""
    destination.mkdir()
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        work = functools.partial(derain, weights, destination)
        for _ in pool.imap_unordered(work, sorted(source.iterdir()), chunksize=4):
            pass


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
