"""Measure how costs grow with scale: `python -m benchmarks.scaling` writes benchmarks/results/scaling.csv.

Parts: `workers` (one and two local workers), `dispatch` (shards in flight on simulated workers), `incremental` (two
hours of small runs), `planning` (30 million listed photographs). `python -m benchmarks.scaling dispatch` measures
one part and keeps the other rows.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.common.device import device_name
from benchmarks.scaling import dispatch, incremental, workers
from benchmarks.speed import planning

RESULTS = Path(__file__).parents[1] / "results" / "scaling.csv"
COLUMNS = ("part", "case", "what", "value", "unit")
PLANNED = tuple(planning.Case(rows // 9 * 10, rows) for rows in (900_000, 9_000_000, 27_000_000))


def main(parts: list[str]) -> None:
    """Measure parts, each case in a separate process, and write the results."""
    if unknown := set(parts) - set(PARTS):
        raise SystemExit(f"no such part: {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    kept = [row for row in _read() if row["part"] not in parts]
    for part in parts:
        for case, figures in PARTS[part]():
            for name, value in figures.items():
                what, unit = name.rsplit(", ", 1)
                row = {"part": part, "case": case, "what": what, "value": f"{value:.4g}", "unit": unit}
                kept.append(row)
                print(f"{part:<12} {case:<44} {what:<44} {row['value']:>9} {unit}", flush=True)
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(kept)


def _read() -> list[dict[str, str]]:
    if not RESULTS.exists():
        return []
    with RESULTS.open(newline="") as file:
        return list(csv.DictReader(file))


def _workers() -> Iterator[tuple[str, dict[str, float]]]:
    case = f"{workers.FEW} and {workers.MANY} frames of 640x480, {device_name(torch.device('cpu'))}"
    yield case, _in_fresh_process("workers", 0)


def _dispatch() -> Iterator[tuple[str, dict[str, float]]]:
    for number, case in enumerate(dispatch.CASES):
        yield case.name, _in_fresh_process("dispatch", number)


def _incremental() -> Iterator[tuple[str, dict[str, float]]]:
    yield f"{incremental.RUNS} runs of {incremental.IMAGES} photographs", _in_fresh_process("incremental", 0)


def _planning() -> Iterator[tuple[str, dict[str, float]]]:
    for case in PLANNED:
        with tempfile.TemporaryDirectory(prefix="derain-benchmark-") as folder:
            planning.in_fresh_process("build", folder, case)
            figures = planning.in_fresh_process("measure", folder, case)
            catalog = Path(folder, f"workspace-{case.rows}").rglob("*.parquet")
            size = sum(path.stat().st_size for path in catalog)
            compacted = planning.in_fresh_process("compact", folder, case)
        yield case.name, {**figures, "catalog, bytes per row": size / case.rows, **compacted}


def _in_fresh_process(part: str, number: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="derain-benchmark-") as folder:
        command = [sys.executable, "-m", "benchmarks.scaling", "case", part, str(number), folder]
        ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return figures


def _measure(part: str, number: int, folder: Path) -> dict[str, float]:
    if part == "workers":
        return workers.measure(folder)
    if part == "dispatch":
        return dispatch.measure(folder, dispatch.CASES[number])
    return incremental.measure(folder)


PARTS = {"workers": _workers, "dispatch": _dispatch, "incremental": _incremental, "planning": _planning}


if __name__ == "__main__":
    if sys.argv[1:2] == ["case"]:
        print(json.dumps(_measure(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))))
    else:
        main(sys.argv[1:] or list(PARTS))
