"""How much the pool has grown since the last training, and telling when that is worth another one."""

from __future__ import annotations

from datetime import datetime

from prefect.events import emit_event

from infra.catalog.pool import Pool
from infra.catalog.promotions import Ledger
from infra.settings import Settings
from infra.tracking.registry import STUDENT

POOL_GROWN = "derain.pool.grown"
_TRAINED = ("promoted", "refused")
"""Decisions that a training ends with."""


def last_training(workspace: str) -> datetime | None:
    """Tell when the student was last trained: when it was last decided on, as the ledger of promotions has it."""
    decided = (row.decided_at for row in Ledger(workspace).rows(STUDENT) if row.decision in _TRAINED)
    return max(decided, default=None)


def tell_growth(settings: Settings, crops: int) -> int:
    """Emit `derain.pool.grown` when the crops that no training has seen pass `DERAIN_INGEST__GROWN_CROPS`.

    And again at each further multiple of it.

    Parameters
    ----------
    settings : Settings
        Workspace and limit.
    crops : int
        How many of them this run has brought.

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
