"""A line about a destination that is being written, or that is new and perhaps mistyped (`unwritten_line`)."""

from __future__ import annotations

import difflib

from infra.catalog.derained import Catalog
from infra.errors import printable
from infra.records import Scope
from infra.storage.lease_file import held_contents
from infra.storage.location import Location
from tasks.batch.planning.plan import PlanCounts


def unwritten_line(counts: PlanCounts, catalog: Catalog, scope: Scope, leases: Location) -> str | None:
    """Return a line about a destination that a run writes to now, or to which none ever wrote; otherwise None.

    The line names the run at work, even if that writes to a folder above or below, or suggests the most similar
    destination of the workspace.

    Parameters
    ----------
    counts : PlanCounts
        The plan of the source for this destination.
    catalog : Catalog
        The catalog, which has all destinations of the workspace.
    scope : Scope
        Scope of the run, with the destination.
    leases : Location
        `lease_location(workspace)`.
    """
    for lease in held_contents(leases):
        if lease.destination == scope.destination:
            return f"{printable(scope.destination)} is being written: {lease.line}"
        overlap = lease.overlap(scope.destination)
        if overlap is not None:
            return f"{printable(overlap)}, which is being written: {lease.line}"
    if counts.done or counts.gone or counts.replaced:
        return None
    batches = catalog.scan(["destination"])
    known = {place for batch in batches for place in batch["destination"].unique().to_pylist()}
    if scope.destination in known:
        return None
    near = difflib.get_close_matches(scope.destination, known, n=1, cutoff=0.8)
    meant = f"; did you mean {printable(near[0])}?" if near else ""
    return f"{printable(scope.destination)}: nothing was ever written there{meant}"
