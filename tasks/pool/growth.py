"""Growth of the pool since the last training, and the event that suggests another one (`emit_pool_grown`)."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class _Span:
    """When a retraining that came to a decision began, and when it was closed, if its record says so."""

    begun: datetime
    closed: datetime | None


def last_training(workspace: str) -> datetime | None:
    """Return from when on crops are new to the student: when the last completed retraining began.

    Crops that were ingested while it worked have not been learned. Decisions of the promotion ledger that were made
    after it, or without any retraining, count as trainings by hand, at the time of the decision.
    """
    folder = open_location(f"{workspace}/retrainings")
    keys = [ref.key for ref in existing(folder) if ref.key.endswith(".json") and ref.key != _OPEN]
    spans = [span for key in keys if (span := _span(folder, key)) is not None]
    last = max(spans, key=lambda span: span.begun, default=None)
    decided = [row.decided_at for row in Ledger(workspace).rows(STUDENT) if row.decision in _TRAINED]
    if last is None:
        return max(decided, default=None)
    return max([last.begun, *(moment for moment in decided if last.closed and moment > last.closed)])


def _span(folder: Location, key: str) -> _Span | None:
    """Return the span of a retraining; None if it found nothing to learn, or if its record is damaged (logged)."""
    try:
        record = json.loads(folder.fetch(key))
        if all(step["name"] != "promote" for step in record["stages"]):
            return None
        closed = record.get("closed_at")
        return _Span(
            datetime.fromisoformat(record["begun_at"]), datetime.fromisoformat(closed) if closed else None
        )
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
