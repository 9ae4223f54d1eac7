"""Refusal of a run whose outputs would replace the photographs that its source was derained from."""

from __future__ import annotations

from infra.catalog.delta.conditions import all_of, quoted
from infra.catalog.derained import Catalog
from infra.errors import printable
from infra.records import DERAINED, Scope
from tasks.refusals import PreflightFailed


def refuse_swapped(catalog: Catalog, scope: Scope) -> None:
    """Refuse to derain outputs of an earlier run into the folder of their originals.

    Parameters
    ----------
    catalog : Catalog
        Read only where the statistics of its files do not exclude such rows.
    scope : Scope
        Source and destination of the run.

    Raises
    ------
    PreflightFailed
        If rows lead from this destination to this source, and none leads from this source to this destination.
    """
    if not _leads(catalog, scope.destination, scope.source) or _leads(
        catalog, scope.source, scope.destination
    ):
        return
    raise PreflightFailed(
        f"source {printable(scope.source)} holds what was derained from {printable(scope.destination)}, whose"
        " photographs would be replaced: swap source and destination, or choose another destination"
    )


def _leads(catalog: Catalog, source: str, destination: str) -> bool:
    where = all_of(DERAINED, f"source = {quoted(source)}", f"destination = {quoted(destination)}")
    return any(batch.num_rows for batch in catalog.scan(None, ["source"], where))
