"""A driver that runs derain-batch as the flow does, but outside any flow run, so that it needs no server.

`python -m tests.support.worlds.batch_driver '{"source": ..., "destination": ..., "model": ...}'` does this in a
separate process, which a test may kill; settings come from the environment.
"""

from __future__ import annotations

import json
import sys
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from infra.settings import Settings
from tasks.batch.coordinator import BatchRequest, derain_pending
from tasks.batch.planning.plan import Redo
from tasks.batch.preflight import prepare
from tasks.batch.summary import RunSummary
from tasks.codec.exports import Export, Kind
from tasks.media.sources import Selection
from tasks.refusals import REFUSALS


@dataclass(frozen=True, slots=True)
class Asked:
    """Parameters of the flow."""

    source: str
    destination: str
    model: str
    export: Kind = "same"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    limit: int | None = None
    redo: Redo = "none"
    run_id: str = ""
    quality: int = 92

    def but(self, **changes: object) -> Asked:
        return replace(self, **changes)


def derain(settings: Settings, asked: Asked) -> RunSummary:
    """Run once, in this process."""
    prepared = prepare(
        settings, asked.source, asked.destination, Export(asked.export, asked.quality), asked.model
    )
    selection = Selection(tuple(asked.include), tuple(asked.exclude), asked.limit)
    request = BatchRequest(asked.run_id or uuid.uuid4().hex, datetime.now(UTC), selection, asked.redo)
    return derain_pending(settings, prepared, request)


def main() -> int:
    try:
        summary = derain(Settings(), Asked(**json.loads(sys.argv[1])))
    except REFUSALS as error:
        sys.stderr.write(f"derain-batch: {error}\n")
        return 1
    sys.stdout.write(f"{summary.line()} {summary.message}\n")
    return int(summary.state == "Failed")


if __name__ == "__main__":
    sys.exit(main())
