"""`Outbox`, the unsent records of a tracked run on disk, which survive a missing server and a killed process."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True, slots=True)
class Outbox:
    """Messages in sending order, one JSON file per message; a picture has the name of its message."""

    folder: Path

    def put_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Store named numbers of a step, with the current time."""
        self._put(
            self._next(), {"step": step, "milliseconds": int(1000 * time.time()), "values": dict(values)}
        )

    def put_picture(self, step: int, name: str, picture: npt.NDArray[np.uint8]) -> None:
        """Record a picture of a step, (H, W, 3) uint8 RGB."""
        path = self._next()
        Image.fromarray(picture).save(path.with_suffix(".png"))
        self._put(path, {"step": step, "picture": name})

    def send(self, client: MlflowClient, run_id: str) -> None:
        """Send all messages; each is deleted once it has arrived."""
        for path in sorted(self.folder.glob("*.json")):
            self._send(client, run_id, path)
            path.unlink()
            path.with_suffix(".png").unlink(missing_ok=True)

    def _send(self, client: MlflowClient, run_id: str, path: Path) -> None:
        from mlflow.entities import Metric

        message = json.loads(path.read_text())
        step = message["step"]
        if "picture" in message:
            with Image.open(path.with_suffix(".png")) as image:
                client.log_image(
                    run_id, np.asarray(image), key=message["picture"], step=step, synchronous=True
                )
            return
        metrics = [
            Metric(name, value, message["milliseconds"], step) for name, value in message["values"].items()
        ]
        client.log_batch(run_id, metrics=metrics)

    def _next(self) -> Path:
        """Return the path of the next message, after all existing ones, including those of a killed process."""
        self.folder.mkdir(parents=True, exist_ok=True)
        last = max((int(path.stem) for path in self.folder.glob("*.json")), default=0)
        return self.folder / f"{last + 1:08d}.json"

    def _put(self, path: Path, message: Mapping[str, Any]) -> None:
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(message))
        partial.replace(path)
