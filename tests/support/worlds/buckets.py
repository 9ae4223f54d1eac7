"""A rainy source, a destination and a workspace at any URLs, and runs of derain-batch on them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from infra.catalog.derained import Catalog
from infra.failpoints import VARIABLE
from infra.settings import Settings
from infra.storage.location import open_location
from models.engine import Engine, fast_dtype
from models.modelfile import build, read_model_file
from tasks.batch.summary import RunSummary
from tasks.codec import ImageRejected, decode, encode
from tasks.codec.exports import Export
from tests.support.samples.images import encoded, picture
from tests.support.servers.dask_cluster import wait_until
from tests.support.worlds.batch import DIFFERS, PATIENCE, ROOT
from tests.support.worlds.batch_driver import Asked, derain

LIMIT = 10_000_000
SAME = Export("same", 92)


@dataclass(frozen=True, slots=True)
class Rain:
    """Rainy photographs at a source, and the settings of runs on them."""

    source: str
    destination: str
    model: Path
    photographs: Mapping[str, bytes] = field(repr=False)
    settings: Settings

    def fill(self) -> Rain:
        """Write the photographs to the source."""
        source = open_location(self.source)
        for key, data in self.photographs.items():
            source.put(key, data)
        return self

    def but(self, **changes: Any) -> Rain:
        """Return a copy with other settings."""
        return replace(self, settings=self.settings.model_copy(update=changes))

    @property
    def asked(self) -> Asked:
        """Return the parameters of a run."""
        return Asked(self.source, self.destination, str(self.model))

    def derain(self, **changes: Any) -> RunSummary:
        """Run in this process."""
        return derain(self.settings, self.asked.but(**changes))

    @contextmanager
    def started(self, printed: Path, fault: str = "") -> Iterator[subprocess.Popen[bytes]]:
        """Run in a separate process group, which prints to a file and is killed after the block."""
        asked = {name: getattr(self.asked, name) for name in Asked.__slots__}
        command = [sys.executable, "-m", "tests.support.worlds.batch_driver", json.dumps(asked)]
        environment = {**os.environ, **as_environment(self.settings), VARIABLE: fault}
        with printed.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
            )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)

    def killed_when(self, is_time: Callable[[], bool], printed: Path) -> None:
        """Run in a separate process group, and kill it when `is_time` returns True."""
        with self.started(printed) as process:
            wait_until(is_time, process)
        assert process.returncode == -signal.SIGKILL, printed.read_text()

    def killed_at(self, place: str, folder: Path) -> None:
        """Run in a separate process group, which is killed when it reaches a failpoint."""
        (token := folder / "token").touch()
        with self.started(folder / "printed", f"{place}:group:{token}") as process:
            process.wait(PATIENCE)
        assert process.returncode == -signal.SIGKILL, (folder / "printed").read_text()
        assert not token.exists()

    def outputs(self) -> dict[str, bytes]:
        """Return all objects at the destination."""
        return contents(self.destination)

    def expected(self) -> dict[str, bytes]:
        """Return the outputs of a plain loop over the photographs, without storage, catalog and workers."""
        return {key: made for key, data in self.photographs.items() if (made := plainly(self.model, data))}

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the catalog in key order, without the columns that differ between runs."""
        rows = Catalog(self.settings.workspace).frame().drop(DIFFERS).to_dicts()
        return sorted(rows, key=lambda row: (row["key"], row["etag"]))

    def assert_done(self) -> None:
        """Assert that every photograph has its output and one row, and that nothing else exists."""
        assert self.outputs() == self.expected()
        derained = {row["key"]: row for row in self.rows() if row["status"] == "derained"}
        assert set(derained) == set(self.expected())
        assert len(self.rows()) == len(self.photographs)


def contents(url: str) -> dict[str, bytes]:
    """Return all objects at a URL."""
    location = open_location(url)
    return {ref.key: location.fetch(ref.key, ref.size_bytes) for ref in location.list()}


@cache
def plainly(model: Path, data: bytes) -> bytes | None:
    """Derain one photograph; return None if it is not a photograph."""
    try:
        rainy = decode(data, LIMIT)
    except ImageRejected:
        return None
    return encode(_engine(model).derain(rainy.rgb[None])[0], rainy, SAME)


@cache
def _engine(model: Path) -> Engine:
    device = torch.device("cpu")
    return Engine(build(read_model_file(model)), device, fast_dtype(device), LIMIT)


def photographs(number: int) -> dict[str, bytes]:
    """Return small photographs of a few sizes and formats, in three folders, by key."""
    return {f"camera {n % 3}/{n:03d}.{_NAMES[n % 2].lower()}": _photograph(n) for n in range(number)}


_NAMES = ("JPEG", "PNG")


def _photograph(number: int) -> bytes:
    height, width = ((32, 48), (40, 36), (64, 72))[number % 3]
    return encoded(picture("RGB", seed=number, height=height, width=width), _NAMES[number % 2])


def as_environment(settings: Settings) -> dict[str, str]:
    """Return the environment variables for these settings."""
    given = settings.model_dump(mode="json", exclude_none=True)
    return {f"DERAIN_{name.upper()}": _written(value) for name, value in given.items()}


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
