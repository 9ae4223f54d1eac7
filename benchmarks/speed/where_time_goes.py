"""Measure where the time of a derain-batch job goes: `python -m benchmarks.speed.where_time_goes`.

Runs the command on frames of 640x480 (generated, or those of `--data` resized) and writes
`results/where_time_goes.csv`, which has two views of the same job:

- `core seconds`: the time of all cores, from the command to its exit. Workers measure the phases of their shards;
  the kernel counts the CPU time of the processes and the idle time of the machine.
- `worker seconds`: the wall time that the computing thread of each worker spent working or waiting.

Each view has three spans: the start, until the workers are connected; the work, until the last rows are recorded;
the end. The last row of each view is the sum, whose share of cores (or workers) times wall time should be 1.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common.frames import write_frames
from benchmarks.common.process_tree import ProcessTree
from benchmarks.common.tables import write_table
from infra.dask.local_cluster import local_workers
from infra.settings import read_settings
from models.modelfile import STUDENT_BASE
from tasks.workers.timing import IN_BACKGROUND, Phase, ShardTiming

RESULTS = Path(__file__).parents[1] / "results" / "where_time_goes.csv"
CORES, WORKERS = "core seconds", "worker seconds"


@dataclass(frozen=True, slots=True)
class Part:
    """Seconds of one kind in one span."""

    span: str
    what: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Row:
    """One part of a view."""

    view: str
    span: str
    what: str
    seconds: float
    share: float
    """Share of cores, or workers, times the wall time of the whole job."""


@dataclass(frozen=True, slots=True)
class Job:
    """A finished job and its measurements."""

    tree: ProcessTree
    coordinator: int
    shards: Sequence[ShardTiming]
    commit_seconds: float
    serialising_seconds: float
    began: float
    ready: float
    done: float
    ended: float

    @property
    def spans(self) -> dict[str, tuple[float, float]]:
        """Beginning and end of the three spans."""
        return {
            "start": (self.began, self.ready),
            "work": (self.ready, self.done),
            "end": (self.done, self.ended),
        }

    @property
    def workers(self) -> set[int]:
        """Process ids of the workers."""
        return {shard.worker for shard in self.shards}

    def by_worker(self) -> list[list[ShardTiming]]:
        """Return the shards of each worker, in order."""
        ordered = sorted(self.shards, key=lambda shard: (shard.worker, shard.began))
        return [list(shards) for _, shards in itertools.groupby(ordered, lambda shard: shard.worker)]

    def cpu(self, phase: Phase) -> float:
        """Return the CPU seconds of a phase in all shards."""
        return sum(shard.cpu_of[phase] for shard in self.shards)

    def wall(self, phase: Phase) -> float:
        """Return the wall seconds of a phase in all shards."""
        return sum(shard.wall_of[phase] for shard in self.shards)


def main() -> None:
    """Run a job, and write the parts of its time."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.where_time_goes", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--data", type=Path, help="folder of photographs; default: generated ones")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="derain-benchmark-") as folder:
        write_frames(Path(folder, "source"), arguments.images, arguments.data)
        job = run_job(Path(folder))
    cores, workers = os.cpu_count() or 1, local_workers(read_settings())
    wall = job.ended - job.began
    rows = [
        *rows_of_view(CORES, list(core_parts(job)), cores * wall),
        *rows_of_view(WORKERS, list(worker_parts(job)), workers * wall),
    ]
    write_table(rows, arguments.out)
    for row in rows:
        print(f"{row.view:<15} {row.span:<6} {row.what:<44} {row.seconds:8.2f} s {row.share:7.2%}")


def run_job(folder: Path) -> Job:
    """Run derain-batch on the images in `folder/source`, in separate processes."""
    times = folder / "times.json"
    command = [sys.executable, "-m", "benchmarks.speed.timed_job", str(times)]
    job = [
        "--source",
        str(folder / "source"),
        "--destination",
        str(folder / "out"),
        "--model",
        str(STUDENT_BASE),
    ]
    environment = {**os.environ, "DERAIN_WORKSPACE": str(folder / "workspace")}
    began = time.monotonic()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, *job], env=environment, stdout=log, stderr=log)
        with ProcessTree(process.pid) as tree:
            code = process.wait()
            ended = time.monotonic()
    if code:
        raise SystemExit(f"the job ended with {code}:\n{(folder / 'log').read_text()}")
    return _job_of(json.loads(times.read_text()), tree, began, ended)


def _job_of(times: Mapping[str, Any], tree: ProcessTree, began: float, ended: float) -> Job:
    shards = [
        ShardTiming(
            **{
                **shard,
                "wall_of": {Phase(name): seconds for name, seconds in shard["wall_of"].items()},
                "cpu_of": {Phase(name): seconds for name, seconds in shard["cpu_of"].items()},
            }
        )
        for shard in times["shards"]
    ]
    return Job(
        tree,
        times["pid"],
        shards,
        sum(times["commit_cpu_seconds"]),
        times["serialising_seconds"],
        began,
        times["ready"],
        times["done"],
        ended,
    )


def core_parts(job: Job) -> Iterator[Part]:
    """Yield the parts of the cores' time."""
    others = job.tree.pids - job.workers - {job.coordinator}
    for span, (began, ended) in job.spans.items():
        coordinator, workers, server = (
            job.tree.cpu_between(began, ended, pids) for pids in ({job.coordinator}, job.workers, others)
        )
        if span == "work":
            yield from _work_of_workers(job, workers)
            yield Part(span, "coordinator: commits", job.commit_seconds)
            yield Part(span, "coordinator: dispatch and the rest", coordinator - job.commit_seconds)
        else:
            yield Part(span, "workers", workers)
            yield Part(span, "coordinator", coordinator)
        yield Part(span, "Prefect's server and other processes of the run", server)
        idle, busy = job.tree.machine_between(began, ended)
        yield Part(span, "other programs", busy - coordinator - workers - server)
        yield Part(span, "idle", idle)


def _work_of_workers(job: Job, cpu_seconds: float) -> Iterator[Part]:
    """Yield the CPU seconds of all workers while they work, by phase."""
    measured = [phase for phase in Phase if phase not in (Phase.AWAIT_FETCH, Phase.AWAIT_PUT)]
    for phase in measured:
        if job.cpu(phase):
            yield Part("work", f"workers: {phase}", job.cpu(phase))
    in_shards = sum(shard.cpu_seconds for shard in job.shards)
    background = sum(job.cpu(phase) for phase in IN_BACKGROUND)
    imports = sum(
        job.tree.cpu_between(job.ready, shards[0].began, {shards[0].worker}) for shards in job.by_worker()
    )
    yield Part("work", "workers: the rest of shards", in_shards + background - sum(map(job.cpu, measured)))
    yield Part("work", "workers: imports before the first shard", imports)
    yield Part("work", "workers: serialisation of results", job.serialising_seconds)
    rest = cpu_seconds - in_shards - background - imports - job.serialising_seconds
    yield Part("work", "workers: Dask and the rest", rest)


def worker_parts(job: Job) -> Iterator[Part]:
    """Yield the parts of the time of the workers' computing threads."""
    by_worker = job.by_worker()
    for span, what in (("start", "before workers are there"), ("end", "after the last rows")):
        began, ended = job.spans[span]
        yield Part(span, what, len(by_worker) * (ended - began))
    in_line = [phase for phase in Phase if phase not in IN_BACKGROUND]
    for phase in in_line:
        yield Part("work", str(phase), job.wall(phase))
    in_shards = sum(shard.ended - shard.began for shard in job.shards)
    yield Part("work", "the rest of shards", in_shards - sum(map(job.wall, in_line)))
    gaps = sum(
        later.began - earlier.ended for shards in by_worker for earlier, later in itertools.pairwise(shards)
    )
    yield Part("work", "wait for the first shard", sum(shards[0].began - job.ready for shards in by_worker))
    yield Part("work", "wait for the next shard", gaps)
    yield Part("work", "after the last shard", sum(job.done - shards[-1].ended for shards in by_worker))


def rows_of_view(view: str, parts: Sequence[Part], whole: float) -> list[Row]:
    """Build rows from parts, and add their sum."""
    total = Part("all", "sum", sum(part.seconds for part in parts))
    return [
        Row(view, part.span, part.what, round(part.seconds, 2), round(part.seconds / whole, 4))
        for part in (*parts, total)
    ]


if __name__ == "__main__":
    main()
