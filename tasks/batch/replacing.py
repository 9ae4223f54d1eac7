"""Files that a run replaces: finding (`replaced_outputs`, `unrecorded`) and keeping (`aside_of`, `put_aside`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

import numpy as np
import polars as pl

from infra.catalog.delta.conditions import all_of
from infra.catalog.derained import Catalog
from infra.records import DERAINED, ImageRef
from infra.storage.location import existing, open_location
from tasks.batch.planning.output_listing import sorted_urls, urls_below
from tasks.batch.planning.ownership import written_below
from tasks.batch.planning.plan import Plan
from tasks.codec import ImageRejected, output_key
from tasks.media.key_hashes import CHUNK, Hashes, chunks, find, hash_texts, sorted_hashes
from tasks.media.medium import MediumSpec


def replaced_outputs(found: Plan, medium: MediumSpec) -> Iterator[str]:
    """Yield the keys of existing outputs that will be overwritten, including those of other runs and programs.

    Parameters
    ----------
    found : Plan
        The pending images.
    medium : MediumSpec
        The medium of a run over photographs; frames replace nothing.
    """
    if medium.frames or not found.counts.pending:
        return
    outputs = _keys(medium.destination)
    if not len(outputs):
        return
    for refs in chunks(found.refs(), CHUNK):
        keys = [key for ref in refs if (key := _output_key(ref, medium)) is not None]
        _, is_there = find(outputs, hash_texts(pl.Series(keys, dtype=pl.String)))
        yield from (key for key, is_replaced in zip(keys, is_there, strict=True) if is_replaced)


def unrecorded(keys: Iterable[str], catalog: Catalog, destination: str) -> Iterator[str]:
    """Yield those keys of a destination that no run has recorded as outputs; holds 16 bytes per recorded one."""
    recorded = _recorded(catalog, destination)
    for part in chunks(keys, CHUNK):
        _, is_recorded = find(recorded, hash_texts(urls_below(destination, pl.Series(part, dtype=pl.String))))
        yield from (part[at] for at in np.flatnonzero(~is_recorded))


def _recorded(catalog: Catalog, destination: str) -> Hashes:
    where = all_of(DERAINED, written_below(destination))
    return sorted_urls(catalog.scan(["destination", "output_key"], where))


def aside_of(destination: str, moment: datetime) -> str:
    """Return where replaced files of a destination are kept: next to it, or in it if it is a whole bucket."""
    is_bucket = destination.count("/") == len("//") and "://" in destination
    return f"{destination}{'/' if is_bucket else '-'}old-{moment:%Y%m%dT%H%M%S}"


def put_aside(keys: Iterator[str], destination: str, aside: str) -> int:
    """Copy outputs to another folder under the same keys; return their number.

    Raises
    ------
    StorageError
        If an output cannot be copied; the outputs themselves are unchanged.
    """
    source, target = open_location(destination), open_location(aside)
    number = 0
    for key in keys:
        target.put(key, source.fetch(key))
        number += 1
    return number


def _keys(destination: str) -> Hashes:
    return sorted_hashes(ref.key for ref in existing(open_location(destination)))


def _output_key(ref: ImageRef, medium: MediumSpec) -> str | None:
    try:
        return output_key(ref.key, medium.export)
    except ImageRejected:  # the image becomes a rejected row without an output
        return None
