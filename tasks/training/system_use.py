"""Recorder of CPU, memory and GPU use along with a training's curve (`WithSystem`)."""

from __future__ import annotations

from collections.abc import Mapping

import psutil
import torch

from infra.tracking.runs import TrackedRun
from models.images import RgbImage


class WithSystem:
    """A recorder that adds the resource use of the process to the scalars of a tracked run."""

    def __init__(self, run: TrackedRun) -> None:
        self._run = run
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call only starts the measurement

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record named values of a step."""
        self._run.scalars(step, {**values, **self._system()})

    def picture(self, step: int, name: str, picture: RgbImage) -> None:
        """Record a picture of a step."""
        self._run.picture(step, name, picture)

    def _system(self) -> dict[str, float]:
        used = {
            "system/cpu_utilization_percentage": self._process.cpu_percent(),
            "system/process_memory_megabytes": self._process.memory_info().rss / 1e6,
        }
        if torch.cuda.is_available():
            used["system/gpu_memory_megabytes"] = torch.cuda.max_memory_allocated() / 1e6
        return used
