"""The bank of real streaks (`StreakLayers`): rain layers cut from accepted pseudo-labels.

There is one file per run, `<workspace>/streaks/<run_id>.safetensors`, written whole once the run's rows are in the
ledger of pseudo-labels. Only crops that are accepted now count: layers of a crop that a reviewer rejected later, or
whose pseudo-label was replaced by a better one, are left out.
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
_FACTS = "told"
"""Name, in stored files, of the array with the ids of the crops and the counts of refused windows, as JSON."""
Layer = npt.NDArray[np.uint8]
"""(H, W) uint8 grey levels."""


@dataclass(frozen=True, slots=True)
class StoredLayers:
    """The contents of the bank for the crops that are accepted now."""

    layers: tuple[tuple[str, Layer], ...]
    """Pairs of crop id and layer cut from that crop."""
    refused: dict[str, int]
    """Number of windows that gave no layer, by reason, over all runs."""


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
        self, run_id: str, layers: Sequence[Layer], crop_ids: Sequence[str], refused: dict[str, int]
    ) -> None:
        """Write the layers of a run, all of the same size, with the id of the crop that each comes from."""
        side = layers[0].shape if layers else (0, 0)
        stacked = np.stack(layers) if layers else np.zeros((0, *side), np.uint8)
        facts = json.dumps({"crop_ids": list(crop_ids), "refused": refused})
        arrays = {"layers": stacked, _FACTS: np.frombuffer(facts.encode(), np.uint8)}
        self._location.put(f"{run_id}{_SUFFIX}", save(arrays))

    def has(self, run_id: str) -> bool:
        """Return whether the layers of a run have been written."""
        return self._location.exists(f"{run_id}{_SUFFIX}")

    def read(self) -> StoredLayers:
        """Read the layers of all crops that are accepted now, run by run.

        Raises
        ------
        TransientError
            Storage failed, or a file is damaged.
        """
        standing = set(self._labels.accepted().select("run_id", "crop_id").iter_rows())
        kept: list[tuple[str, Layer]] = []
        refused: Counter[str] = Counter()
        for run_id, layers, facts in self._runs():
            owned = zip(facts["crop_ids"], layers, strict=True)
            kept += [(crop_id, layer) for crop_id, layer in owned if (run_id, crop_id) in standing]
            refused.update(facts["refused"])
        return StoredLayers(tuple(kept), dict(refused))

    def _runs(self) -> Iterator[tuple[str, npt.NDArray[np.uint8], dict[str, dict[str, int]]]]:
        try:
            keys = sorted(ref.key for ref in self._location.list() if ref.key.endswith(_SUFFIX))
        except ObjectNotFound:  # nothing has been curated yet
            return
        for key in keys:
            try:
                arrays = load(self._location.fetch(key))
            except SafetensorError as error:
                raise TransientError(f"{self._location.url}/{key}: damaged ({error}); delete it") from error
            yield key.removesuffix(_SUFFIX), arrays["layers"], json.loads(arrays[_FACTS].tobytes())
