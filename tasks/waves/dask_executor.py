"""The Dask executor (`on_dask`): runs the shards of a stage on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from distributed import Client
from distributed.client import ClosedClientError

from infra.dask import cluster
from infra.errors import TransientError
from infra.settings import Settings
from tasks.waves.executors import SCHEDULER_GONE, Answer, Executor


@dataclass(frozen=True, slots=True)
class DaskExecutor:
    """An executor on the workers of a Dask cluster."""

    client: Client
    workers: int
    waves_ahead: int = 2

    def submit(
        self, function: Callable[..., Any], *arguments: Any, key: Any = None, priority: int = 0
    ) -> Answer:
        """See `infra.dask.cluster.submit`."""
        try:
            return cluster.submit(self.client, function, *arguments, key=key, priority=priority)  # type: ignore[no-any-return]
        except ClosedClientError as error:
            raise TransientError(SCHEDULER_GONE) from error


@contextmanager
def on_dask(settings: Settings) -> Iterator[Executor]:
    """Yield an executor on the cluster that the settings name; see `infra.dask.cluster.connect`."""
    with cluster.connect(settings) as client:
        yield DaskExecutor(client, cluster.worker_count(client))
