"""Originals (`refuse_originals`): photographs of earlier runs that a run would replace with its outputs.

This happens if source and destination are swapped: the outputs are the source then, and have the same keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from infra.catalog.derained import Catalog
from infra.errors import KeyRefused, printable
from infra.records import Scope
from infra.storage.location import open_location
from infra.storage.name_folding import NameFolding
from tasks.batch.planning.output_listing import sorted_urls, urls_below
from tasks.batch.planning.ownership import related
from tasks.batch.planning.plan import Plan
from tasks.batch.planning.rivals import read_rivals
from tasks.codec.keys import output_suffix
from tasks.media.key_hashes import CHUNK, Hashes, chunks, find, hash_texts
from tasks.refusals import PreflightFailed


def refuse_originals(found: Plan, catalog: Catalog, scope: Scope, *, frames: bool) -> None:
    """Refuse to replace photographs, or frames, that an earlier run has derained from the destination.

    Outputs of earlier runs may be replaced, even if they were derained once more to another place.

    Parameters
    ----------
    found : Plan
        The pending images; read as a stream, and only if the catalog has images of the destination.
    catalog : Catalog
        The catalog, which knows the images and the outputs of earlier runs.
    scope : Scope
        Scope of the run.
    frames : bool
        Whether the source is a Zarr array.

    Raises
    ------
    PreflightFailed
        The message names the first such image and the remedy.
    """
    originals = _originals(catalog, scope.destination)
    if not len(originals):
        return
    suffix = "" if frames else output_suffix(scope.export)
    for refs in chunks(found.refs(), CHUNK):
        keys = [ref.key + suffix for ref in refs]
        replaced = _among(originals, scope.destination, keys)
        for key in _not_outputs(catalog, scope.destination, replaced, frames=frames):
            if frames or _exists(scope.destination, key):
                raise PreflightFailed(
                    f"{printable(scope.destination)}/{printable(key)} is an image that was derained from there, and"
                    " would be replaced: are source and destination swapped? Choose another destination"
                )


def _originals(catalog: Catalog, destination: str) -> Hashes:
    """Return the sorted URLs, hashed, of all images that runs have derained from below or above a destination."""
    return sorted_urls(catalog.scan(["source", "key"], related("source", destination)))


def _among(originals: Hashes, destination: str, keys: Sequence[str]) -> list[str]:
    is_original = find(originals, hash_texts(urls_below(destination, pl.Series(keys, dtype=pl.String))))[1]
    return [keys[at] for at in np.flatnonzero(is_original).tolist()]


def _not_outputs(catalog: Catalog, destination: str, keys: Sequence[str], *, frames: bool) -> Iterator[str]:
    """Yield those of the keys in a destination that no run has written."""
    urls = [f"{destination}/{f'c/{int(key)}/0/0/0' if frames else key}" for key in keys]
    outputs = read_rivals(catalog, destination, urls, NameFolding())
    return (key for key, url in zip(keys, urls, strict=True) if url not in outputs)


def _exists(destination: str, key: str) -> bool:
    try:
        return open_location(destination).exists(key)
    except KeyRefused:  # an image that was rejected for its key
        return False
