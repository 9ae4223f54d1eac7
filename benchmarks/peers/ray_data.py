"""The same job with Ray Data: `map_batches` with one actor per core.

    PEERS/bin/python -m benchmarks.peers.ray_data WEIGHTS SOURCE DESTINATION

Needs the environment that `benchmarks/peers/requirements.txt` describes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import ray

from benchmarks.peers.photograph import derain_file, load_bf16

BATCH = 8
"""Photographs that an actor takes at a time; few, so that all actors finish together."""


class Derainer:
    """An actor with the network."""

    def __init__(self, weights: Path, destination: Path) -> None:
        self.network = load_bf16(weights)
        self.destination = destination

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Derain the photographs at the paths of a batch, and return the paths."""
        for path in map(Path, batch["item"]):
            derain_file(self.network, path, self.destination)
        return {"item": batch["item"]}


def main(weights: Path, source: Path, destination: Path) -> None:
    """Derain a folder."""
    cores = os.cpu_count() or 1
    destination.mkdir()
    ray.init(num_cpus=cores, include_dashboard=False, logging_level="warning", log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    paths = [str(path) for path in sorted(source.iterdir())]
    # Blocks are built here: a task that builds them would wait for a core for ever, because the actors use all.
    items = ray.data.from_items(paths, override_num_blocks=-(-len(paths) // BATCH))
    derained = items.map_batches(
        Derainer,
        fn_constructor_args=(weights, destination),
        batch_size=BATCH,
        compute=ray.data.ActorPoolStrategy(size=cores),
        num_cpus=1,
    )
    derained.materialize()
    ray.shutdown()


if __name__ == "__main__":
    main(*(Path(argument).absolute() for argument in sys.argv[1:]))
