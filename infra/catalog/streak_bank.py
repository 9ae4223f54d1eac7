"""The bank of real streaks: layers cut from accepted pseudo-labels, `<workspace>/streaks/<run_id>.safetensors`.

A file a run, written whole once the run's rows are in the ledger of pseudo-labels. What counts is what is accepted
now: layers of a crop that a reviewer rejected since, or that a better pseudo-label replaced, are left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from infra.catalog.pseudo_labels import PseudoLabels
from infra.errors import TransientError
from infra.storage.location import ObjectNotFound, open_location

_SUFFIX = ".safetensors"
Layer = npt.NDArray[np.uint8]
"""(H, W) grey levels."""


@dataclass(frozen=True, slots=True)
class StoredLayers:
    """What the bank holds of the crops that are accepted now."""

    layers: tuple[tuple[str, Layer], ...]
    """The crop that a layer comes from, and the layer."""
    refused: dict[str, int]
    """Windows that no layer was taken from, by reason, over all runs."""


class StreakLayers:
    """The layers of one workspace.

    Parameters
    ----------
    workspace : str
        An absolute local path or `s3://bucket/prefix`.
    """

    def __init__(self, workspace: str) -> None:
        self._location = open_location(f"{workspace.rstrip('/')}/streaks")
        self._labels = PseudoLabels(workspace)

    def write(
        self, run_id: str, layers: Sequence[Layer], crop_ids: Sequence[str], refused: dict[str, int]
    ) -> None:
        """Write the layers of a run, all of one size, with the crop that each comes from."""
        side = layers[0].shape if layers else (0, 0)
        stacked = np.stack(layers) if layers else np.zeros((0, *side), np.uint8)
        told = json.dumps({"crop_ids": list(crop_ids), "refused": refused})
        arrays = {"layers": stacked, "told": np.frombuffer(told.encode(), np.uint8)}
        self._location.put(f"{run_id}{_SUFFIX}", save(arrays))

    def has(self, run_id: str) -> bool:
        """Tell whether the layers of a run are there."""
        return self._location.exists(f"{run_id}{_SUFFIX}")

    def read(self) -> StoredLayers:
        """Read the layers of what is accepted now, run after run.

        Raises
        ------
        TransientError
            Storage failed, or a file is damaged.
        """
        standing = set(self._labels.accepted().select("run_id", "crop_id").iter_rows())
        kept: list[tuple[str, Layer]] = []
        refused: Counter[str] = Counter()
        for run_id, layers, told in self._runs():
            owned = zip(told["crop_ids"], layers, strict=True)
            kept += [(crop_id, layer) for crop_id, layer in owned if (run_id, crop_id) in standing]
            refused.update(told["refused"])
        return StoredLayers(tuple(kept), dict(refused))

    def _runs(self) -> Iterator[tuple[str, npt.NDArray[np.uint8], dict[str, dict[str, int]]]]:
        try:
            keys = sorted(ref.key for ref in self._location.list() if ref.key.endswith(_SUFFIX))
        except ObjectNotFound:  # nothing was curated yet
            return
        for key in keys:
            try:
                arrays = load(self._location.fetch(key))
            except SafetensorError as error:
                raise TransientError(f"{self._location.url}/{key}: damaged ({error}); delete it") from error
            yield key.removesuffix(_SUFFIX), arrays["layers"], json.loads(arrays["told"].tobytes())
