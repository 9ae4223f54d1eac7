"""The Dask executor (`on_dask`): runs the shards of a stage on a cluster."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from distributed import Client
from distributed.client import ClosedClientError

from infra.dask import calls, cluster
from infra.errors import TransientError
from infra.settings import Settings
from tasks.waves.executors import SCHEDULER_GONE, Answer, Executor

COUNT_SECONDS = 5.0
"""Seconds after which workers are counted again."""
ANSWER_SECONDS = 1.0
"""Maximum time that a run waits for the scheduler to count them; after that, the last count is used."""


@dataclass(slots=True)
class DaskExecutor:
    """An executor on the workers of a Dask cluster."""

    client: Client
    resources: Mapping[str, float]
    """Resources of a worker that a shard takes while it runs."""
    waves_ahead: int = 2
    _workers: int = 1
    _counted_at: float = -math.inf

    @property
    def workers(self) -> int:
        """Number of shards that the cluster's workers run at the same time, counted every few seconds."""
        if time.monotonic() - self._counted_at >= COUNT_SECONDS:
            self._workers = cluster.places(self.client, self.resources, ANSWER_SECONDS) or self._workers
            self._counted_at = time.monotonic()
        return self._workers

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Answer:
        """See `infra.dask.calls.submit`."""
        with _scheduler_needed():
            return calls.submit(self.client, function, *arguments, resources=self.resources)  # type: ignore[no-any-return]

    def submit_all(
        self, function: Callable[[Any], Any], items: Sequence[Any], keys: Sequence[Any], priority: int
    ) -> list[Answer]:
        """See `infra.dask.calls.submit_all`."""
        with _scheduler_needed():
            return calls.submit_all(self.client, function, items, keys, priority, self.resources)

    def results(self, answers: Sequence[Answer], seconds: float) -> dict[Answer, Any]:
        """See `infra.dask.calls.results`."""
        return calls.results(self.client, answers, seconds)


@contextmanager
def _scheduler_needed() -> Iterator[None]:
    try:
        yield
    except ClosedClientError as error:
        raise TransientError(SCHEDULER_GONE) from error


@contextmanager
def on_dask(settings: Settings) -> Iterator[Executor]:
    """Yield an executor on the cluster that the settings name; see `infra.dask.cluster.connect`."""
    with cluster.connect(settings) as client:
        yield DaskExecutor(client, settings.shard_resources)
