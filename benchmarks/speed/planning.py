"""Measure memory and time of planning: `python -m benchmarks.speed.planning` writes results/planning.csv.

A manifest (CSV) is planned against a catalog and cut into shards, each time in a new process; the figures are
medians of three interleaved repeats. The listing of the destination is simulated in memory, as a stream of as many
outputs as the catalog has rows. Memory is that of the whole process.
"""

from __future__ import annotations

import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import md5
from pathlib import Path
from statistics import median

import pyarrow as pa
from deltalake import write_deltalake

from infra.catalog.delta.schema import VERSION, records_table
from infra.catalog.derained import TABLE, Catalog
from infra.records import DerainRecord, ImageRef, Scope
from tasks.batch.planning.plan import PlanRequest, plan
from tasks.media.sources import Selection, open_source
from tasks.waves.pending import ShardLimits

RESULTS = Path(__file__).parents[1] / "results" / "planning.csv"
REPEATS = 3
FILE_ROWS = 50_000
MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Case:
    """Numbers of listed objects and of catalog rows."""

    objects: int
    rows: int

    @property
    def name(self) -> str:
        """Name of the case in the results."""
        return f"{self.objects:,} objects against {self.rows:,} rows"


CASES = (Case(1_000_000, 900_000), Case(100_000, 900_000), Case(100_000, 90_000))


def main() -> None:
    """Measure all cases and write the results."""
    with tempfile.TemporaryDirectory(prefix="derain-benchmark-") as folder:
        for case in CASES:
            in_fresh_process("build", folder, case)
        runs = [(case, in_fresh_process("measure", folder, case)) for _ in range(REPEATS) for case in CASES]
    rows = [row for case in CASES for row in _rows(case, [figures for ran, figures in runs if ran == case])]
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["benchmark", "case", "value", "unit", "repeats", "notes"])
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print(f"{row['case']:<48} {row['value']:>9} {row['unit']:<26} {row['notes']}")


def build(folder: Path, case: Case) -> dict[str, float]:
    """Write the manifest and the catalog of a case."""
    workspace = folder / f"workspace-{case.rows}"
    if not workspace.exists():
        _build_catalog(Catalog(str(workspace)), folder, case.rows)
    with (folder / f"manifest-{case.objects}.csv").open("w") as file:
        file.write("key,etag,size\n")
        file.writelines(f"{_key(number)},{_etag(number)},{_size(number)}\n" for number in range(case.objects))
    return {}


def measure(folder: Path, case: Case) -> dict[str, float]:
    """Plan a case and cut its shards, in this process."""
    imported = _peak_mebibytes()
    catalog = Catalog(str(folder / f"workspace-{case.rows}"))
    manifest = str(folder / f"manifest-{case.objects}.csv")
    request = PlanRequest(_scope(folder), Selection(), "none", "digest-1")
    started = time.perf_counter()
    with plan(request, catalog, open_source(manifest).refs(), _outputs(case.rows)) as todo:
        planned = time.perf_counter()
        images = sum(len(shard.items) for shard in todo.shards(ShardLimits(128, 64_000_000)))
        cut = time.perf_counter()
        assert images == todo.counts.pending == max(case.objects - case.rows, 0)
        assert todo.counts.listed == case.objects
    peak = _peak_mebibytes()
    hundreds = case.objects / 100_000
    return {
        "peak memory, MiB": peak,
        "memory after imports, MiB": imported,
        "planning, s": planned - started,
        "planning and cutting, s per 100,000 objects": (cut - started) / hundreds,
    }


def compact(folder: Path, case: Case) -> dict[str, float]:
    """Compact the catalog of a case, in this process; measure nothing if it has too few files for that."""
    started = time.perf_counter()
    if not Catalog(str(folder / f"workspace-{case.rows}")).maintain():
        return {}
    return {
        "compaction, s per 1,000,000 rows": (time.perf_counter() - started) / case.rows * 1_000_000,
        "peak memory of compaction, MiB": _peak_mebibytes(),
    }


def _rows(case: Case, runs: list[dict[str, float]]) -> Iterator[dict[str, str]]:
    for name in runs[0]:
        values = [figures[name] for figures in runs]
        what, unit = name.split(", ", 1)
        yield {
            "benchmark": "planning",
            "case": case.name,
            "value": f"{median(values):.4g}",
            "unit": unit,
            "repeats": str(len(values)),
            "notes": f"{what}; {min(values):.4g} to {max(values):.4g}",
        }


def in_fresh_process(part: str, folder: str, case: Case) -> dict[str, float]:
    """Build or measure a case in a new process."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.speed.planning",
        part,
        folder,
        str(case.objects),
        str(case.rows),
    ]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(finished.stdout)
    return figures


def _build_catalog(catalog: Catalog, folder: Path, rows: int) -> None:
    catalog.commit([_record(folder, 0)], replace=False)
    for start in range(1, rows, FILE_ROWS):
        records = [_record(folder, number) for number in range(start, min(start + FILE_ROWS, rows))]
        data = records_table(records, TABLE)
        version = pa.array([start] * len(records), pa.int64())
        write_deltalake(catalog.url, data.append_column(VERSION, version), mode="append")


def _record(folder: Path, number: int) -> DerainRecord:
    scope, key = _scope(folder), _key(number)
    identity = (scope.source, key, _etag(number), scope.destination, scope.export)
    model = ("derain-student", "1", "digest-1", "run-1")
    statistics = (0.01 + number % 97 / 1000, 0.4, 0.2, 0.3)
    made = ("derained", None, key, md5(key.encode()).hexdigest() * 2)
    stored = (_size(number), _etag(number))
    return DerainRecord(
        *identity, _size(number), 1080, 1920, *made, *model, *statistics, datetime.now(UTC), *stored
    )


def _outputs(rows: int) -> Iterator[ImageRef]:
    return (ImageRef(_key(number), _etag(number), _size(number)) for number in range(rows))


def _scope(folder: Path) -> Scope:
    return Scope(str(folder), "s3://derained/photographs", "same-q92")


def _key(number: int) -> str:
    return f"region-{number % 7}/site-{number // 5000:05d}/2025/11/camera-03/frame-{number:09d}.jpg"


def _etag(number: int) -> str:
    return md5(b"%d" % number).hexdigest()


def _size(number: int) -> int:
    return 200_000 + number * 7919 % 300_000


def _peak_mebibytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MEBIBYTE if sys.platform == "darwin" else peak / 1024


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        part = {"build": build, "measure": measure, "compact": compact}[sys.argv[1]]
        print(json.dumps(part(Path(sys.argv[2]), Case(int(sys.argv[3]), int(sys.argv[4])))))
