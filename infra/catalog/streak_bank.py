"""The bank of real streaks (`StreakLayers`): rain layers cut from accepted pseudo-labels.

There is one file per Zarr group of pseudo-labels: `<workspace>/streaks/<name>.safetensors` has the layers of the
crops in `<workspace>/pseudo/<name>.zarr`. Only pseudo-labels that are accepted now count: layers of a crop that was
never accepted, that a reviewer rejected later, or whose pseudo-label was replaced by a better one, are left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from infra.catalog.pseudo_label_zarr import group_name
from infra.catalog.pseudo_labels import PseudoLabels
from infra.errors import TransientError
from infra.storage.location import existing, open_location

_SUFFIX = ".safetensors"
_FACTS = "told"
"""Name, in stored files, of the array with the ids of the crops and the counts of refused windows, as JSON."""
Layer = npt.NDArray[np.uint8]
"""(H, W) uint8 grey levels."""


@dataclass(frozen=True, slots=True)
class StoredLayers:
    """Layers of the bank whose crops are accepted now."""

    layers: tuple[tuple[str, Layer], ...]
    """Pairs of crop id and layer cut from that crop."""
    refused: dict[str, int]
    """Number of windows that gave no layer, by reason, in the files that were read."""


class StreakLayers:
    """The streak layers of one workspace.

    Parameters
    ----------
    workspace : str
        An absolute local path or `s3://bucket/prefix`.
    """

    def __init__(self, workspace: str) -> None:
        self._location = open_location(f"{workspace.rstrip('/')}/streaks")
        self._labels = PseudoLabels(workspace)

    def write(
        self, name: str, layers: Sequence[Layer], crop_ids: Sequence[str], refused: dict[str, int]
    ) -> None:
        """Write the layers of a group, all of the same size, with the id of the crop that each comes from."""
        side = layers[0].shape if layers else (0, 0)
        stacked = np.stack(layers) if layers else np.zeros((0, *side), np.uint8)
        facts = json.dumps({"crop_ids": list(crop_ids), "refused": refused})
        arrays = {"layers": stacked, _FACTS: np.frombuffer(facts.encode(), np.uint8)}
        self._location.put(f"{name}{_SUFFIX}", save(arrays))

    def remove(self, groups: Collection[str]) -> None:
        """Remove the layers of Zarr groups."""
        for name in self._names():
            if group_name(name) in groups:
                self._location.delete(f"{name}{_SUFFIX}")

    def read(self, most: int) -> StoredLayers:
        """Read layers of crops that are accepted now, sorted by group.

        Parameters
        ----------
        most : int
            Once there are this many layers, no more files are read. Which ones are read is arbitrary but
            reproducible, so that the layers come from all runs.

        Raises
        ------
        TransientError
            Storage failed, or a file is damaged.
        """
        accepted = set(self._labels.accepted().select("zarr_group", "crop_id").iter_rows())
        kept: dict[str, list[tuple[str, Layer]]] = {}
        refused: Counter[str] = Counter()
        for name in sorted(self._names(), key=lambda name: sha256(name.encode()).digest()):
            if sum(map(len, kept.values())) >= most:
                break
            layers, facts = self._fetched(name)
            owned = zip(facts["crop_ids"], layers, strict=True)
            group = group_name(name)
            kept[name] = [(crop_id, layer) for crop_id, layer in owned if (group, crop_id) in accepted]
            refused.update(facts["refused"])
        found = [layer for _, layers in sorted(kept.items()) for layer in layers]
        return StoredLayers(tuple(found), dict(refused))

    def _names(self) -> list[str]:
        keys = [ref.key for ref in existing(self._location)]
        return [key.removesuffix(_SUFFIX) for key in keys if key.endswith(_SUFFIX)]

    def _fetched(self, name: str) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
        key = f"{name}{_SUFFIX}"
        try:
            arrays = load(self._location.fetch(key))
        except SafetensorError as error:
            raise TransientError(f"{self._location.url}/{key}: damaged ({error}); delete it") from error
        return arrays["layers"], json.loads(arrays[_FACTS].tobytes())
