"""Detection of a destination to which nothing was ever written (`unwritten_line`), as its name may be mistyped."""

from __future__ import annotations

import difflib

from infra.catalog.derained import Catalog
from infra.errors import printable
from infra.records import Scope
from tasks.batch.planning.plan import PlanCounts


def unwritten_line(counts: PlanCounts, catalog: Catalog, scope: Scope) -> str | None:
    """Return a line that suggests the most similar destination if no run wrote to this one; None if one did.

    Parameters
    ----------
    counts : PlanCounts
        The plan of the source for this destination.
    catalog : Catalog
        The catalog, which has all destinations of the workspace.
    scope : Scope
        Scope of the run, with the destination.
    """
    if counts.done or counts.gone or counts.replaced:
        return None
    batches = catalog.scan(None, ["destination"])
    known = {place for batch in batches for place in batch["destination"].unique().to_pylist()}
    if scope.destination in known:
        return None
    near = difflib.get_close_matches(scope.destination, known, n=1, cutoff=0.8)
    meant = f"; did you mean {printable(near[0])}?" if near else ""
    return f"{printable(scope.destination)}: nothing was ever written there{meant}"
