"""Growth of the pool since the last training, and the event that suggests another one (`emit_pool_grown`)."""

from __future__ import annotations

from datetime import datetime

from prefect.events import emit_event

from infra.catalog.pool import Pool
from infra.catalog.promotions import Ledger
from infra.settings import Settings
from infra.tracking.registry import STUDENT

POOL_GROWN = "derain.pool.grown"
_TRAINED = ("promoted", "refused")
"""Promotion decisions that conclude a training."""


def last_training(workspace: str) -> datetime | None:
    """Return when the student was last trained: the time of the last decision in the promotion ledger."""
    decided = (row.decided_at for row in Ledger(workspace).rows(STUDENT) if row.decision in _TRAINED)
    return max(decided, default=None)


def emit_pool_grown(settings: Settings, crops: int) -> int:
    """Emit `derain.pool.grown` when the number of untrained crops passes `DERAIN_INGEST__GROWN_CROPS`.

    The event is emitted again at each further multiple of that limit.

    Parameters
    ----------
    settings : Settings
        Workspace and limit.
    crops : int
        Number of crops that this run added.

    Returns
    -------
    int
        Crops since the last training.
    """
    limit = settings.ingest.grown_crops
    new = Pool(settings.workspace).count(since=last_training(settings.workspace))
    if (new - min(crops, new)) // limit < new // limit:
        resource = {"prefect.resource.id": f"derain.pool.{settings.workspace}"}
        emit_event(POOL_GROWN, resource, payload={"new_crops": new, "run_crops": crops, "limit": limit})
    return new
