"""Growth of the pool since the last training, and the event that suggests another one (`emit_pool_grown`)."""

from __future__ import annotations

import json
import logging
from datetime import datetime

from prefect.events import emit_event

from infra.catalog.pool import Pool
from infra.catalog.promotions import Ledger
from infra.errors import ObjectNotFound
from infra.settings import Settings
from infra.storage.location import Location, existing, open_location
from infra.tracking.registry import STUDENT
from tasks.pool.signals import Signal

logger = logging.getLogger(__name__)

POOL_GROWN = "derain.pool.grown"
_TRAINED = ("promoted", "refused")
"""Promotion decisions that conclude a training."""
_OPEN = "open.json"
"""Record of the retraining that has not been completed; see `tasks.retraining.record`."""


def last_training(workspace: str) -> datetime | None:
    """Return from when on crops are new to the student: when the last completed retraining began.

    Crops that were ingested while it worked have not been learned. Without a completed retraining, it is the time
    of the last decision in the promotion ledger.
    """
    folder = open_location(f"{workspace}/retrainings")
    keys = [ref.key for ref in existing(folder) if ref.key.endswith(".json") and ref.key != _OPEN]
    begun = [moment for key in keys if (moment := _beginning(folder, key)) is not None]
    decided = (row.decided_at for row in Ledger(workspace).rows(STUDENT) if row.decision in _TRAINED)
    return max(begun, default=None) or max(decided, default=None)


def _beginning(folder: Location, key: str) -> datetime | None:
    """Return when a retraining began; a damaged record is logged and counts as none."""
    try:
        return datetime.fromisoformat(json.loads(folder.fetch(key))["begun_at"])
    except ObjectNotFound:
        return None
    except (ValueError, LookupError, TypeError) as damage:
        logger.warning("%s/%s: not the record of a retraining (%r)", folder.url, key, damage)
        return None


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
    limit, trained_at = settings.ingest.grown_crops, last_training(settings.workspace)
    new = Pool(settings.workspace).count(since=trained_at)
    signal = Signal(settings.workspace, "pool-grown", limit, trained_at)
    if signal.is_due(new, crops):
        resource = {"prefect.resource.id": f"derain.pool.{settings.workspace}"}
        emit_event(POOL_GROWN, resource, payload={"new_crops": new, "run_crops": crops, "limit": limit})
    signal.remember(new)
    return new
