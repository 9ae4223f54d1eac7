"""The sources of an ingest (`find_sources`): a source of derain-batch, or images that the catalog lists."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace

from infra.catalog.delta.attempts import CatalogError
from infra.catalog.delta.conditions import all_of, quoted
from infra.catalog.delta.schema import VERSION
from infra.catalog.derained import Catalog
from infra.dask.shared_folders import refuse_unshared_folders
from infra.errors import STORAGE_ERRORS, ObjectNotFound
from infra.records import DERAINED, ImageRef
from infra.settings import Settings, absolute_url
from infra.storage.lease import check_workspace
from infra.storage.listing import LeftOut, ListingRules
from tasks.media.medium import is_array
from tasks.media.sources import Selection, Source, open_source, readable_source, refuse_oversized
from tasks.refusals import PreflightFailed

logger = logging.getLogger(__name__)

CATALOG = "catalog"
"""The source name that stands for the catalog; write `./catalog` for a folder of that name."""
REMOVED = "derained, and removed since"
CHANGED = "derained, and changed since"


@dataclass(frozen=True, slots=True)
class IngestSource:
    """A source and the selection of its images."""

    source: Source
    selection: Selection


def find_sources(
    settings: Settings, source: str | None, where: str | None, selection: Selection
) -> list[IngestSource]:
    """Open the sources of an ingest, which its workers must see too.

    Parameters
    ----------
    settings : Settings
        Provides the default source.
    source : str or None
        A URL, or `catalog` for every derained image.
    where : str or None
        An SQL condition on catalog rows; only images that meet it are ingested.
    selection : Selection
        Which objects are ingested; by default all of the catalog or of an array.

    Raises
    ------
    PreflightFailed
        Or another of `tasks.refusals.REFUSALS`.
    """
    sources = readable_sources(settings, source, where, selection)
    if source != CATALOG:
        read = [each.source.base for each in sources]
        refuse_unshared_folders(settings, read=read, written=[settings.workspace])
    return sources


def readable_sources(
    settings: Settings, source: str | None, where: str | None, selection: Selection
) -> list[IngestSource]:
    """Open the sources of an ingest on this machine; see `find_sources`."""
    check_workspace(settings.workspace)
    everything = selection if selection.include else replace(selection, include=("*",))
    if source == CATALOG:
        return [IngestSource(each, everything) for each in _derained_sources(settings, where)]
    if where is not None:
        raise PreflightFailed(f"--where chooses rows of the catalog: give it with --source {CATALOG}")
    url = absolute_url(source) if source else settings.source
    if url is None:
        raise PreflightFailed("no source: give --source or set DERAIN_SOURCE")
    found = readable_source(url)
    refuse_oversized(found, settings)
    chosen = everything if found.frames else selection
    return [IngestSource(found, chosen.apart_from(settings.workspace, found.base))]


def _derained_sources(settings: Settings, where: str | None) -> list[Source]:
    catalog, condition = Catalog(settings.workspace), all_of(DERAINED, f"({where})" if where else None)
    try:
        batches = catalog.scan(["source"], condition)
        names = sorted({name for batch in batches for name in batch["source"].unique().to_pylist()})
    except CatalogError as error:
        if where is None:
            raise
        raise PreflightFailed(f"--where {where}: not a condition on {catalog.url} ({error})") from error
    if not names:
        condition = f" that meets {where}" if where else ""
        raise PreflightFailed(f"{catalog.url}: no derained image{condition}; run derain-batch first")
    return [_derained_source(catalog, name, condition) for name in names]


def _derained_source(catalog: Catalog, name: str, condition: str | None) -> Source:
    def refs(rules: ListingRules) -> Iterator[ImageRef]:
        columns = ["key", "etag", "size_bytes", VERSION, "derained_at"]
        rows = catalog.frame(columns, all_of(condition, f"source = {quoted(name)}"))
        latest = rows.sort("key", VERSION, "derained_at").unique("key", keep="last", maintain_order=True)
        derained = [*map(ImageRef, latest["key"], latest["etag"], latest["size_bytes"])]
        return _unchanged(name, derained, rules.left_out)

    return Source(name, refs, frames=is_array(name))


def _unchanged(source: str, derained: Sequence[ImageRef], left_out: LeftOut) -> Iterator[ImageRef]:
    """Yield the images that are still at their source as they were derained; count the others as left out."""
    try:
        sizes = _listed_sizes(source, {ref.key for ref in derained})
    except STORAGE_ERRORS as error:
        logger.warning("%s cannot be listed; its images are assumed to be there: %s", source, error)
        sizes = {ref.key: ref.size_bytes for ref in derained}
    for ref in derained:
        if sizes.get(ref.key) == ref.size_bytes:
            yield ref
        else:
            left_out.leave_object(CHANGED if ref.key in sizes else REMOVED)


def _listed_sizes(source: str, keys: Set[str]) -> dict[str, int]:
    try:
        return {ref.key: ref.size_bytes for ref in open_source(source).refs() if ref.key in keys}
    except ObjectNotFound:  # a bucket or folder that was removed
        return {}
