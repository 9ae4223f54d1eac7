"""The rows of images that collide; apart from planning, which needs no network and no torch."""

from __future__ import annotations

from collections.abc import Sequence

from infra.catalog.derained import Catalog
from tasks.batch.collisions import Collision
from tasks.batch.shards import ShardJob, rejected_record


def record_collisions(found: Sequence[Collision], job: ShardJob, catalog: Catalog) -> None:
    """Commit a rejected row for each image that collides, with the other image as its reason."""
    rows = [rejected_record(job, collision.ref, collision.reason) for collision in found]
    catalog.commit(rows, replace=True)
