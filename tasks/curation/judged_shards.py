"""Shards of judged crops in the workspace: written by workers (`store`), reused by the next run (`read_finished`).

A worker writes a shard under a name that no other task uses, even if Dask runs a shard twice, in this order:

1. `pseudo/<name>.zarr`: pixels of the crops that no rule rejects, and of rejected ones that a reviewer accepted.
   Rows of the ledger name these groups.
2. `streaks/<name>.safetensors`: layers of rain that were cut from the same crops.
3. `pseudo/judged/<judgement>/<name>.zarr`: pixels of the rejected crops, only for the review page.
4. `pseudo/judged/<judgement>/<name>.json`: the judgements of all crops, the marker of a complete shard.

A killed run leaves complete shards, which the next run reuses, and at most one incomplete shard per worker, which
it removes (`remove_unneeded`). A run that completes removes 3 and 4 (`forget_judgements`), and the groups of which
it accepted no crop. A group with an accepted crop stays whole: the other crops in it, kept out by the quota or by a
better pseudo-label, take less than 1 MiB each, and there are at most `DERAIN_CURATION__TASK_CROPS` per group.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import uuid4

import numpy as np

from infra.catalog.pseudo_label_zarr import (
    PseudoPixels,
    group_name,
    list_groups,
    read_labels,
    remove_groups,
    write_group,
)
from infra.catalog.streak_bank import Layer, StreakLayers
from infra.failpoints import failpoint
from infra.storage.location import existing, open_location
from models.images import RgbImage
from tasks.curation.acceptance import Rejection, Scores
from tasks.curation.streak_harvest import cut_streaks

JUDGED_FOLDER = "pseudo/judged"
"""Folder of objects that are needed until a run has ended, relative to the workspace."""
_MARKER = ".json"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Judged:
    """The judgement of a crop: rule, scores, the reason for its rejection, if any, and where its pixels are."""

    crop_id: str
    rule: str
    scores: Scores
    rejection: Rejection | None
    streaks: int = 0
    """Number of layers of rain that were cut from it."""
    zarr_group: str | None = None
    zarr_row: int | None = None

    @property
    def kept_group(self) -> str | None:
        """The group that a row of the ledger may name; None if only the review page shows the pixels, if any."""
        is_kept = self.zarr_group is not None and not self.zarr_group.startswith(JUDGED_FOLDER)
        return self.zarr_group if is_kept else None


@dataclass(frozen=True, slots=True)
class JudgedCrop:
    """A judged crop with its pixels, in the memory of a worker."""

    judged: Judged
    pixels: PseudoPixels
    """The whole crop, (512, 512, 3) and (512, 512), padded with zeros."""
    rainy: RgbImage
    """The valid part, (H, W, 3) uint8."""
    is_requested: bool
    """Whether a reviewer accepted it, whatever the rules say."""


def store(workspace: str, run_id: str, judgement: str, crops: Sequence[JudgedCrop]) -> list[Judged]:
    """Write a shard; return the judgements with the places of the pixels.

    Raises
    ------
    TransientError, AccessDenied, ObjectNotFound
        Storage failed; the crops have to be judged again.
    """
    name, folder = f"{run_id}-{uuid4().hex[:12]}", f"{JUDGED_FOLDER}/{judgement}"
    kept = [crop for crop in crops if crop.judged.rejection is None or crop.is_requested]
    rejected = [crop for crop in crops if crop.judged.rejection is not None and not crop.is_requested]
    stored = _with_streaks(workspace, name, _with_pixels(workspace, group_name(name), kept), kept)
    stored += _with_pixels(workspace, f"{folder}/{name}.zarr", rejected)
    failpoint("after-pixels", name)
    described = json.dumps([_described(judged) for judged in stored])
    open_location(f"{workspace}/{folder}").put(f"{name}{_MARKER}", described.encode())
    failpoint("after-judged", name)
    return stored


def read_finished(workspace: str, judgement: str) -> dict[str, Judged]:
    """Read the judgements of complete shards that earlier runs left, by crop id.

    A worker may outlive its coordinator and mark a shard as complete after another run has removed its group. Such
    judgements are left out.
    """
    groups = list_groups(workspace)
    return {
        judged.crop_id: judged
        for name in _names_of_markers(workspace, judgement)
        for judged in _read_marker(workspace, judgement, name)
        if judged.kept_group is None or groups.get(judged.kept_group, False)
    }


def read_pixels(workspace: str, judged: Judged) -> PseudoPixels | None:
    """Read the pixels of a judged crop, whole and padded; None if it has none."""
    if judged.zarr_group is None or judged.zarr_row is None:
        return None
    found = read_labels(workspace, judged.zarr_group, np.array([judged.zarr_row]))
    return PseudoPixels(found.pseudo_label[0], found.confidence[0])


def remove_unneeded(workspace: str, committed: Collection[str]) -> None:
    """Remove all groups except those that rows of the ledger name and those of complete shards.

    No other curation may be running in the workspace.
    """
    marked = {group_name(name) for name in _names_of_markers(workspace)}
    groups = list_groups(workspace)
    complete = {group for group in marked if groups.get(group, False)}
    remove_shards(workspace, groups.keys() - set(committed) - complete)


def remove_shards(workspace: str, groups: Collection[str]) -> None:
    """Remove groups and their layers of rain, the layers first, so that no layers remain without their group."""
    if groups:
        StreakLayers(workspace).remove(groups)
        remove_groups(workspace, groups)


def forget_judgements(workspace: str) -> None:
    """Remove all markers, including those of other networks, and then the pixels of rejected crops."""
    location = open_location(f"{workspace}/{JUDGED_FOLDER}")
    keys = _keys(workspace)
    for key in sorted(keys, key=lambda key: not _is_marker(key)):
        location.delete(key)


def _with_pixels(workspace: str, group: str, crops: Sequence[JudgedCrop]) -> list[Judged]:
    """Write the pixels of crops as a group, if there are any; return the judgements with their places."""
    if crops:
        write_group(workspace, group, [crop.pixels for crop in crops])
    return [replace(crop.judged, zarr_group=group, zarr_row=row) for row, crop in enumerate(crops)]


def _with_streaks(
    workspace: str, name: str, judged: Sequence[Judged], crops: Sequence[JudgedCrop]
) -> list[Judged]:
    """Write the layers of rain of a group; return the judgements with the number of layers."""
    layers: list[Layer] = []
    owners: list[str] = []
    refused: Counter[str] = Counter()
    for crop in crops:
        found, reasons = cut_streaks(crop.rainy, crop.pixels)
        layers += found
        owners += [crop.judged.crop_id] * len(found)
        refused.update(reasons)
    if crops:
        StreakLayers(workspace).write(name, layers, owners, dict(refused))
    counts = Counter(owners)
    return [replace(each, streaks=counts[each.crop_id]) for each in judged]


def _read_marker(workspace: str, judgement: str, name: str) -> list[Judged]:
    location = open_location(f"{workspace}/{JUDGED_FOLDER}/{judgement}")
    try:
        return [_judged_from(stored) for stored in json.loads(location.fetch(f"{name}{_MARKER}"))]
    except (TypeError, ValueError, KeyError) as error:
        logger.warning("%s/%s%s: damaged, judged again (%s)", location.url, name, _MARKER, error)
        return []


def _described(judged: Judged) -> dict[str, Any]:
    """Describe a judgement for its marker, where a rejection has the key `refusal`, as in existing markers."""
    described = asdict(judged)
    described["refusal"] = described.pop("rejection")
    return described


def _judged_from(stored: dict[str, Any]) -> Judged:
    refusal = stored.pop("refusal")
    rejection = refusal and Rejection(**refusal)
    return Judged(**{**stored, "scores": Scores(**stored["scores"]), "rejection": rejection})


def _names_of_markers(workspace: str, judgement: str | None = None) -> Iterator[str]:
    """Yield the names of complete shards, of one judgement or of all."""
    for key in _keys(workspace):
        of, _, name = key.partition("/")
        if _is_marker(key) and judgement in (None, of):
            yield name.removesuffix(_MARKER)


def _is_marker(key: str) -> bool:
    """Return whether `<judgement>/<name>.json` is the key; metadata of Zarr groups lies deeper."""
    return key.endswith(_MARKER) and key.count("/") == 1


def _keys(workspace: str) -> list[str]:
    return [ref.key for ref in existing(open_location(f"{workspace}/{JUDGED_FOLDER}"))]
