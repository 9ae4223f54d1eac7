"""A small world for complete ingests: photographs of rain, a workspace, and this process as worker.

`python -m tests.support.worlds.ingest ROOT WORKSPACE` runs one ingest in a separate process, which a test may kill.
"""

from __future__ import annotations

import sys
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from infra.catalog.pool import Pool
from infra.catalog.pool_zarr import FOLDER
from infra.limits import IngestLimits
from infra.settings import Settings
from infra.storage.location import existing, open_location
from tasks.media.sources import Selection
from tasks.pool.coordinator import IngestRequest, ingest_pending
from tasks.pool.sources import find_sources
from tasks.pool.summary import IngestSummary
from tasks.waves.executors import in_process
from tests.support.samples.images import encoded

LIMITS = IngestLimits(min_side=24, min_sharpness=0.004, validation_share=0.3)
IMAGES = 8
"""Photographs of three cameras, so few that every ingest of a test takes them all."""
Left = tuple[list[dict[str, Any]], bytes]
"""Return value of `IngestWorld.left`: rows and pixels."""
AGAIN = 500
"""Offset from the number of a scene to that of its near duplicate, taken by another camera."""
DIFFERS = ("run_id", "ingested_at", "zarr_group", "zarr_row")
"""Columns in which two pools of the same images may differ."""


@dataclass(frozen=True, slots=True)
class IngestWorld:
    """A folder of photographs, and the settings of ingests from it."""

    root: Path
    settings: Settings

    @property
    def source(self) -> Path:
        return self.root / "rainy"

    @property
    def pool(self) -> Pool:
        return Pool(self.settings.workspace)

    def put(self, key: str, rgb: np.ndarray) -> None:
        self.put_bytes(key, encoded(Image.fromarray(rgb), "PNG"))

    def put_bytes(self, key: str, data: bytes) -> None:
        path = self.source / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def put_cameras(self, images: int) -> None:
        """Write photographs of three cameras, a near duplicate of every fourth one, and a flat one."""
        for number in range(images):
            rgb = scene(number, height=32 + 8 * (number % 3))
            self.put(f"camera-{'abc'[number % 3]}/{number:03d}.png", rgb)
            if number % 4 == 0:
                self.put(f"camera-{'abc'[(number + 1) % 3]}/{number + AGAIN}.png", brighter(rgb))
        self.put("camera-a/999.png", np.full((40, 40, 3), 90, np.uint8))

    def scene_of(self, key: str) -> np.ndarray:
        """Return the scene in the file of a camera."""
        return np.asarray(Image.open(self.source / key))

    def ingest(self, source: str | None = None, where: str | None = None, **asked: Any) -> IngestSummary:
        """Run in this process, without Prefect and without separate workers."""
        chosen, executor = Selection(asked.pop("include", ())), asked.pop("open_executor", in_process)
        sources = find_sources(self.settings, source or str(self.source), where, chosen)
        request = IngestRequest(uuid.uuid4().hex, datetime.now(UTC), **asked)
        return ingest_pending(self.settings, sources, request, executor)

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows of the table in the order of ids, without the columns that differ between runs."""
        return self.pool.frame().sort("crop_id").drop(DIFFERS).to_dicts()

    def reasons(self) -> dict[str, str | None]:
        return {row["key"]: row["reason"] for row in self.rows()}

    def left(self) -> tuple[list[dict[str, Any]], bytes]:
        """Return the contents of the pool: rows and pixels."""
        return self.rows(), self.pool.pixels(self.pool.crops()).tobytes()

    def objects(self) -> set[str]:
        """Return all objects of the pool's groups except metadata."""
        location = open_location(f"{self.settings.workspace}/{FOLDER}")
        return {ref.key for ref in existing(location) if not ref.key.endswith("zarr.json")}


def new_world(root: Path, **changes: object) -> IngestWorld:
    (root / "rainy").mkdir(parents=True, exist_ok=True)
    chosen = {"workspace": str(root / "workspace"), "ingest": LIMITS, "shard_images": 3, "wave_shards": 2}
    return IngestWorld(root, Settings(_env_file=None, **{**chosen, **changes}))


def scene(seed: int, height: int = 40, width: int = 48) -> np.ndarray:
    """Return a picture unlike those of other seeds, with a few coarse shapes and fine texture."""
    generator = np.random.default_rng(seed)
    shapes = Image.fromarray(generator.integers(20, 200, (6, 6, 3)).astype(np.uint8))
    coarse = np.asarray(shapes.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    return np.clip(coarse + generator.integers(-12, 13, (height, width, 1)), 0, 255).astype(np.uint8)


def brighter(rgb: np.ndarray) -> np.ndarray:
    """Return the same picture a little later."""
    return (rgb + np.minimum(4, 255 - rgb)).astype(np.uint8)


if __name__ == "__main__":
    sys.stdout.write(new_world(Path(sys.argv[1]), workspace=sys.argv[2]).ingest().line())
