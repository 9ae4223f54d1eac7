"""Arrays of frames as sources of a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import zarr

from tests.support.worlds.batch import World


def film(world: World, pixels: np.ndarray, **layout: Any) -> zarr.Array[Any]:
    chosen = {"chunks": (1, *pixels.shape[1:]), "write_empty_chunks": False, **layout}
    empty = chosen.pop("write_empty_chunks")
    array = zarr.create_array(
        str(world.source),
        shape=pixels.shape,
        dtype=pixels.dtype,
        config={"write_empty_chunks": empty},
        overwrite=True,
        **chosen,
    )
    array[:] = pixels
    return array
