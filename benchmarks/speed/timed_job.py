"""The command derain-batch, which also records when its shards and commits began and ended.

    python -m benchmarks.speed.timed_job TIMES.json --source ./rainy --destination ./derained

`benchmarks.speed.where_time_goes` starts it as a process; it runs `flows.derain_batch`.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from flows.derain_batch import derain_batch, refuse
from flows.running.command_line import run
from infra.records import DerainRecord, ImageRef
from infra.settings import Settings
from tasks.batch.stage import DerainStage
from tasks.waves import dask_executor
from tasks.waves.dask_executor import on_dask
from tasks.waves.executors import Answer, Executor
from tasks.waves.stage import Finished, ShardResult
from tasks.workers.unfinished import Unfinished


@dataclass(slots=True)
class Log:
    """Times of a job, by the monotonic clock of the machine."""

    path: Path
    ready: float = 0.0
    """Time when the workers were connected."""
    done: float = 0.0
    """Time when the last rows were recorded."""
    commit_cpu_seconds: list[float] = field(default_factory=list)
    """CPU seconds of the coordinator during each commit."""
    results: list[ShardResult[DerainRecord]] = field(default_factory=list)

    @contextmanager
    def on_dask(self, settings: Settings) -> Iterator[Executor]:
        """Connect to the workers, and log the shards that they return."""
        with on_dask(settings) as executor:
            self.ready = time.monotonic()
            yield _LoggedExecutor(executor, self.results)
            self.done = time.monotonic()
        self.write()

    def commit(
        self, stage: DerainStage, finished: Sequence[Finished[ImageRef, DerainRecord]]
    ) -> Sequence[Unfinished]:
        """Commit rows, and log the CPU time."""
        before = time.process_time()
        unfinished = COMMIT(stage, finished)
        self.commit_cpu_seconds.append(time.process_time() - before)
        return unfinished

    def write(self) -> None:
        """Write everything as JSON; the command ends without returning."""
        times = {
            "pid": os.getpid(),
            "ready": self.ready,
            "done": self.done,
            "commit_cpu_seconds": self.commit_cpu_seconds,
            "serialising_seconds": serialising_seconds(self.results),
            "shards": [asdict(result.timing) for result in self.results if result.timing is not None],
        }
        self.path.write_text(json.dumps(times))


COMMIT = DerainStage.commit


def serialising_seconds(results: Sequence[ShardResult[DerainRecord]]) -> float:
    """Measure the time to pickle the results, as a worker does."""
    before = time.process_time()
    for result in results:
        pickle.dumps(result)
    return time.process_time() - before


@dataclass(frozen=True, slots=True)
class _LoggedExecutor:
    executor: Executor
    returned: list[ShardResult[DerainRecord]]

    @property
    def workers(self) -> int:
        return self.executor.workers

    @property
    def waves_ahead(self) -> int:
        return self.executor.waves_ahead

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Answer:
        return self.executor.submit(function, *arguments)

    def submit_all(
        self, function: Callable[[Any], Any], items: Sequence[Any], keys: Sequence[Any], priority: int
    ) -> list[Answer]:
        return self.executor.submit_all(function, items, keys, priority)

    def results(self, answers: Sequence[Answer], seconds: float) -> dict[Answer, Any]:
        found = self.executor.results(answers, seconds)
        self.returned.extend(result for result in found.values() if isinstance(result, ShardResult))
        return found


def main(path: Path) -> None:
    """Run the command derain-batch, and write its times."""
    log = Log(path)

    def commit(
        stage: DerainStage, finished: Sequence[Finished[ImageRef, DerainRecord]]
    ) -> Sequence[Unfinished]:
        return log.commit(stage, finished)

    with patch.object(dask_executor, "on_dask", log.on_dask), patch.object(DerainStage, "commit", commit):
        run(derain_batch, refuse)


if __name__ == "__main__":
    main(Path(sys.argv.pop(1)))
