"""Rivals: other images that own the output name of an image (`refuse_contested`, `read_rivals`)."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from infra.catalog.delta.conditions import all_of
from infra.catalog.delta.schema import VERSION
from infra.catalog.derained import Catalog
from infra.errors import STORAGE_ERRORS, ObjectNotFound, printable
from infra.records import DERAINED, ImageRef, Scope
from infra.settings import read_retry_policy
from infra.storage.location import is_local, open_location
from infra.storage.name_folding import NameFolding
from tasks.batch.planning.output_listing import output_urls
from tasks.batch.planning.ownership import written_below
from tasks.media.key_hashes import Hashes, find, hash_texts
from tasks.media.medium import is_array
from tasks.refusals import PreflightFailed

logger = logging.getLogger(__name__)

_COLUMNS = ("source", "key", "export", "destination", "output_key", VERSION, "derained_at")


@dataclass(frozen=True, slots=True)
class Rival:
    """The image that owns an output."""

    source: str
    key: str
    export: str


@dataclass(frozen=True, slots=True)
class Contest:
    """Images whose outputs belong to other images under exactly the same name."""

    images: int = 0
    examples: tuple[ImageRef, ...] = ()
    outputs: tuple[str, ...] = ()
    """URLs of the outputs of the examples."""


def refuse_contested(contest: Contest, catalog: Catalog, scope: Scope) -> None:
    """Refuse to overwrite outputs of other images, because the two images would overwrite each other in every run.

    An image that no longer exists at its source is not a rival, since the source may have moved.

    Raises
    ------
    PreflightFailed
        If there is a rival; the message names both images, the output and the remedy.
    """
    rivals = read_rivals(catalog, scope.destination, contest.outputs, NameFolding())
    for ref, output in zip(contest.examples, contest.outputs, strict=True):
        rival = rivals.get(output)
        if rival is None or not still_exists(rival):
            continue
        ours, theirs = f"{scope.source}/{ref.key}", f"{rival.source}/{rival.key}"
        if ours == theirs and scope.source != rival.source:
            raise PreflightFailed(
                f"{printable(ours)} was derained to {printable(output)} as a photograph of"
                f" {printable(rival.source)}{_more(contest)}:"
                " name that source, choose another destination, or leave it out with --exclude"
            )
        if scope.export != rival.export:
            ours, theirs = f"{ours} (exported as {scope.export})", f"{theirs} (as {rival.export})"
        raise PreflightFailed(
            f"{printable(ours)} and {printable(theirs)} would both be written to {printable(output)}"
            f"{_more(contest)}: choose another destination for one of them, or leave one out with --exclude"
        )
    if contest.images:
        logger.warning(
            "%s: outputs of %d images are overwritten, because their own sources no longer contain the images",
            scope.destination,
            contest.images,
        )


def _more(contest: Contest) -> str:
    return f" ({contest.images:,} images are affected)" if contest.images > 1 else ""


def read_rivals(
    catalog: Catalog, destination: str, outputs: Sequence[str], folding: NameFolding
) -> dict[str, Rival]:
    """Return the images that own outputs.

    Parameters
    ----------
    catalog : Catalog
        Read as a stream, and only if `outputs` is not empty.
    destination : str
        URL of the destination.
    outputs : Sequence[str]
        URLs of outputs.
    folding : NameFolding
        How the destination folds names.

    Returns
    -------
    dict[str, Rival]
        The image of the newest row, by the URL in `outputs`; URLs without a row are absent.
    """
    if not outputs:
        return {}
    names: list[bytes] = hash_texts(folding.fold(pl.Series(outputs))).tolist()
    wanted = np.array(sorted(set(names)), "S16")
    found: dict[bytes, tuple[tuple[int, float], Rival]] = {}
    where = all_of(DERAINED, written_below(destination))
    for batch in catalog.scan(_COLUMNS, where):
        frame, hashes = _matching(pl.DataFrame(batch), wanted, folding)
        for row, name in zip(frame.iter_rows(named=True), hashes.tolist(), strict=True):
            age = (row[VERSION] or 0, row["derained_at"].timestamp())
            if name not in found or age > found[name][0]:
                found[name] = age, Rival(row["source"], row["key"], row["export"])
    # Several outputs may fold to one name.
    return {output: found[name][1] for output, name in zip(outputs, names, strict=True) if name in found}


def _matching(frame: pl.DataFrame, wanted: Hashes, folding: NameFolding) -> tuple[pl.DataFrame, Hashes]:
    hashes = hash_texts(folding.fold(output_urls(frame["destination"], frame["output_key"])))
    is_wanted = find(wanted, hashes)[1]
    return frame.filter(pl.Series(is_wanted)), hashes[is_wanted]


def still_exists(rival: Rival) -> bool:
    """Return whether a rival still exists at its source; assume so if it cannot be checked."""
    try:
        if is_array(rival.source):
            return True
        return open_location(rival.source, read_retry_policy().short()).exists(rival.key)
    except ObjectNotFound:
        return False
    except STORAGE_ERRORS as error:
        logger.warning("%s cannot be checked; its image is assumed to exist: %s", rival.source, error)
        return True


def is_same_file(source: str, key: str, other: str) -> bool:
    """Return whether two keys of a source name the same file, for example after A.JPG was renamed to a.jpg."""
    if not is_local(source):
        return False
    try:
        return os.path.samefile(os.path.join(source, key), os.path.join(source, other))
    except OSError:  # one of them does not exist
        return False
