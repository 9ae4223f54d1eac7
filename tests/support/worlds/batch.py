"""A small world for complete runs: rainy images, a destination, a workspace and a tiny model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.catalog.derained import Catalog
from infra.failpoints import VARIABLE
from infra.settings import Settings
from models.modelfile import pack, write_model_file
from tasks.batch.summary import RunSummary
from tests.support.samples.images import encoded, photo, picture
from tests.support.samples.students import random_student
from tests.support.worlds.batch_driver import Asked, derain

ROOT = Path(__file__).parents[3]
PATIENCE = 300
"""Seconds that a process may take on a busy machine before its test fails."""
DIFFERS = ("run_id", "derained_at")
"""Columns in which two runs over the same images may differ."""


@dataclass(frozen=True, slots=True)
class World:
    """Folders below one root, and the settings of runs on them."""

    root: Path
    settings: Settings

    @property
    def source(self) -> Path:
        return self.root / "rainy"

    @property
    def destination(self) -> Path:
        return self.root / "derained"

    @property
    def asked(self) -> Asked:
        return Asked(str(self.source), str(self.destination), str(model_path(self.root)))

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.settings.workspace)

    def put(self, key: str, data: bytes) -> Path:
        path = self.source / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def put_photos(self, number: int) -> list[str]:
        """Write photographs of a few sizes and formats to two folders; return their keys."""
        keys = []
        for index in range(number):
            name, suffix = ("PNG", "png") if index % 3 == 0 else ("JPEG", "jpg")
            key = f"{'day' if index % 2 else 'night'}/{index:03d}.{suffix}"
            size = {"height": 32 + 8 * (index % 3), "width": 48 + 4 * (index % 2)}
            self.put(key, encoded(picture("RGB", seed=index, **size), name))
            keys.append(key)
        return sorted(keys)

    def derain(self, **changes: Any) -> RunSummary:
        """Run in this process; return the summary."""
        return derain(self.settings, self.asked.but(**changes))

    def start(
        self, fault: str = "", variables: Mapping[str, str] | None = None, **changes: Any
    ) -> subprocess.Popen[str]:
        """Start a run in its own process group, with its own workers."""
        asked = self.asked.but(**changes)
        fields = {name: getattr(asked, name) for name in Asked.__slots__}
        environment = {
            **os.environ,
            "DERAIN_WORKSPACE": self.settings.workspace,
            "DERAIN_WORKERS": "2",
            "DERAIN_SHARD_IMAGES": str(self.settings.shard_images),
            "DERAIN_WAVE_SHARDS": str(self.settings.wave_shards),
            VARIABLE: fault,
            "DERAIN_STALL_SECONDS": str(PATIENCE / 2),  # short enough to report what it waits for
            "PYTHONFAULTHANDLER": "1",  # see stacks
            **(variables or {}),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "tests.support.worlds.batch_driver", json.dumps(fields)],
            cwd=ROOT,
            env=environment,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows of the catalog in key order, without the columns that differ between runs."""
        rows = self.catalog.frame().drop(DIFFERS).to_dicts()
        return sorted(rows, key=lambda row: (row["destination"], row["key"], row["etag"]))

    def reasons(self) -> dict[str, str | None]:
        """Return the reason of each image with a row by key; None for derained images."""
        return {row["key"]: row["reason"] for row in self.rows()}

    def outputs(self) -> dict[str, bytes]:
        return outputs(self.destination)


def stacks(process: subprocess.Popen[str]) -> str:
    """Kill a run that hangs, and return the stacks of all its threads and of its workers' threads."""
    os.killpg(process.pid, signal.SIGABRT)
    return process.communicate(timeout=PATIENCE)[1]


def outputs(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder except the temporary ones of killed runs."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".derain-")
    }


def model_path(root: Path, seed: int = 0) -> Path:
    """Return the path of a tiny model's file, one per seed."""
    path = root / f"tiny-{seed}.safetensors"
    if not path.exists():
        write_model_file(pack(random_student(seed=seed), {"seed": seed}), path)
    return path


def changed_photo(seed: int) -> bytes:
    return encoded(picture("RGB", seed=seed, height=40, width=40), "PNG")


def frames(number: int, height: int = 24, width: int = 32) -> Any:
    """Return a short film, (T, H, W, 3) uint8 RGB."""
    import numpy as np

    return np.stack([photo(height, width, seed=index) for index in range(number)])
