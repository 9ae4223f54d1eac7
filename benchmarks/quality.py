"""How well the shipped networks derain: PSNR and SSIM on paired sets, planted probes and NIQE on real rain.

    python -m benchmarks.quality --data DATA [--model FILE ...] [--sets SET ...] [--limit N]

`DATA` holds `paired/rain100l/{rain,clean}`, `paired/rain100h/{rain,clean}` and `real_rain`. Writes
`results/quality.csv` (paired) and `results/real_rain.csv`. These are test sets: they are reported, nothing is
selected by them. A quick look (`--limit`) is printed and written nowhere.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.networks import networks
from benchmarks.paired import PairedRow, derained, paired_sets, untouched
from benchmarks.real_photographs import RealRow, judged, of_network, references

RESULTS = Path(__file__).parent / "results"
SETS = ("rain100l", "rain100h", "clean", "real_rain")


def main() -> None:
    """Measure every network on every set, print the table and write it."""
    arguments = _parse()
    paired = list(_measure_paired(arguments))
    real = list(_measure_real(arguments)) if "real_rain" in arguments.sets else []
    for row in (*paired, *real):
        print(row)
    if arguments.limit is None:
        write(paired, RESULTS / "quality.csv")
        write(real, RESULTS / "real_rain.csv")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with paired/ and real_rain/")
    parser.add_argument(
        "--model", type=Path, nargs="+", default=[], help="weights files; default: all in models/weights"
    )
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="default: all")
    parser.add_argument("--limit", type=int, help="at most so many photographs a set; nothing is written")
    return parser.parse_args()


def _measure_paired(arguments: argparse.Namespace) -> Iterator[PairedRow]:
    wanted = [each for name, each in paired_sets(arguments.data).items() if name in arguments.sets]
    yield from (untouched(each, arguments.limit) for each in wanted if each.rainy != each.clean)
    for network in networks(arguments.model):
        yield from (derained(network, each, arguments.limit) for each in wanted)


def _measure_real(arguments: argparse.Namespace) -> Iterator[RealRow]:
    derainers = (*references(), *map(of_network, networks(arguments.model)))
    yield from (judged(each, arguments.data / "real_rain", arguments.limit) for each in derainers)


def write(rows: Sequence[PairedRow | RealRow], path: Path) -> None:
    """Write rows as CSV in place of those of the same set and model; the others that are there stay."""
    if not rows:
        return
    measured = [{name: str(value) for name, value in asdict(row).items()} for row in rows]
    again = {(row["set"], row["model"]) for row in measured}
    before = [row for row in _read(path, list(measured[0])) if (row["set"], row["model"]) not in again]
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, list(measured[0]))
        writer.writeheader()
        writer.writerows(sorted((*before, *measured), key=lambda row: row["set"]))


def _read(path: Path, columns: list[str]) -> list[dict[str, str]]:
    """Read a table that was written before; one of other columns is out of date as a whole."""
    if not path.exists():
        return []
    with path.open(newline="") as lines:
        reader = csv.DictReader(lines)
        return list(reader) if reader.fieldnames == columns else []


if __name__ == "__main__":
    main()
