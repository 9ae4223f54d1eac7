"""The state of a source without a run (`status_lines`): what is done, pending and rejected, and why."""

from __future__ import annotations

from datetime import UTC, datetime

from infra.catalog.derained import Catalog
from infra.errors import printable
from infra.storage.lease import lease_location
from tasks.batch.coordinator import BatchRequest, make_plan, plan_line
from tasks.batch.planning.unwritten import unwritten_line
from tasks.batch.preflight import PreparedRun
from tasks.media.sources import Selection


def status_lines(prepared: PreparedRun, selection: Selection, rejects: int) -> list[str]:
    """Count the images of a source, and name rejected ones; nothing is derained.

    Parameters
    ----------
    prepared : PreparedRun
        The source, its destination, and the model in use: outputs of other models are stale.
    selection : Selection
        The images to count.
    rejects : int
        Maximum number of rejected images to name.
    """
    catalog, leases = Catalog(prepared.workspace), lease_location(prepared.workspace)
    request = BatchRequest("status", datetime.now(UTC), selection, "none", rejects)
    with make_plan(prepared, request, catalog) as found:
        unwritten = unwritten_line(found.counts, catalog, prepared.scope, leases)
        rejected = catalog.rejected_images(prepared.scope, found.rejects)
    lines = [plan_line(found.counts), *([unwritten] if unwritten else [])]
    return lines + [f"rejected  {printable(record.key)}: {record.reason}" for record in rejected]
