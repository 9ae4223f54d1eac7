"""The objects of a destination (`list_outputs`), complete wherever the catalog knows of outputs."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import polars as pl

from infra.catalog.delta.conditions import all_of
from infra.catalog.derained import Catalog
from infra.records import DERAINED, ImageRef
from infra.storage.listing import ListingRules
from infra.storage.location import open_location
from infra.storage.name_folding import NameFolding
from tasks.batch.planning.output_listing import output_urls
from tasks.batch.planning.ownership import written_below

_COLUMNS = ("destination", "output_key")


def list_outputs(catalog: Catalog, destination: str, folding: NameFolding) -> Iterator[ImageRef]:
    """List a destination, without those unreadable folders that hold no output, such as `lost+found`.

    Parameters
    ----------
    catalog : Catalog
        The catalog, which says which folders hold outputs.
    destination : str
        URL of the destination.
    folding : NameFolding
        How the destination folds names.

    Raises
    ------
    AccessDenied, StorageError
        If a folder with outputs cannot be read: they would count as gone and be made again in every run.
    """

    @functools.cache
    def needed(folder: str) -> bool:
        return _holds_outputs(catalog, destination, folder, folding)

    yield from open_location(destination).list(ListingRules(needed=needed))


def _holds_outputs(catalog: Catalog, destination: str, folder: str, folding: NameFolding) -> bool:
    """Return whether the catalog has a derained row whose output lies below a folder of the destination."""
    prefix = folding.fold(output_urls(pl.Series([destination]), pl.Series([folder])))[0]
    for batch in catalog.scan(_COLUMNS, all_of(written_below(destination), DERAINED)):
        frame = pl.DataFrame(batch)
        urls = folding.fold(output_urls(frame["destination"], frame["output_key"]))
        if urls.str.starts_with(prefix).any():
            return True
    return False
