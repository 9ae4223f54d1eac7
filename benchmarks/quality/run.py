"""Measure the quality of the shipped networks: PSNR and SSIM on paired sets, planted probes and NIQE on real rain.

    python -m benchmarks.quality --data DATA [--model FILE ...] [--sets SET ...] [--limit N]

`DATA` contains `paired/rain100l/{rain,clean}`, `paired/rain100h/{rain,clean}` and `real_rain`. Writes
`results/quality.csv` (paired) and `results/real_rain.csv`. These are test sets: they are only reported, never used
to select anything. With `--limit`, results are printed but not written.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from benchmarks.common.networks import networks
from benchmarks.common.tables import rows_of, write_table
from benchmarks.quality.paired import PairedRow, paired_sets, score_input, score_network
from benchmarks.quality.real_photographs import RealRow, measure_probes, of_network, references

RESULTS = Path(__file__).parents[1] / "results"
SETS = ("rain100l", "rain100h", "clean", "real_rain")


def main() -> None:
    """Measure every network on every set; print and write each row when it is finished."""
    arguments = _parse()
    tables = (
        (_measure_paired(arguments), RESULTS / "quality.csv"),
        (_measure_real(arguments) if "real_rain" in arguments.sets else (), RESULTS / "real_rain.csv"),
    )
    for rows, path in tables:
        for row in rows:
            print(row, flush=True)
            if arguments.limit is None:
                write(row, path)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with paired/ and real_rain/")
    parser.add_argument(
        "--model", type=Path, nargs="+", default=[], help="weights files; default: all in models/weights"
    )
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="default: all")
    parser.add_argument("--limit", type=int, help="largest number of photographs per set; nothing is written")
    arguments = parser.parse_args()
    if arguments.limit is not None and arguments.limit < 1:
        parser.error("--limit: at least one photograph")
    return arguments


def _measure_paired(arguments: argparse.Namespace) -> Iterator[PairedRow]:
    chosen = [each for name, each in paired_sets(arguments.data).items() if name in arguments.sets]
    yield from (score_input(each, arguments.limit) for each in chosen if each.rainy != each.clean)
    for network in networks(arguments.model):
        yield from (score_network(network, each, arguments.limit) for each in chosen)


def _measure_real(arguments: argparse.Namespace) -> Iterator[RealRow]:
    derainers = (*references(), *map(of_network, networks(arguments.model)))
    yield from (measure_probes(each, arguments.data / "real_rain", arguments.limit) for each in derainers)


def write(row: PairedRow | RealRow, path: Path) -> None:
    """Write a row, which replaces the one of the same set and model; other rows stay."""
    others = [old for old in rows_of(path, type(row)) if (old["set"], old["model"]) != (row.set, row.model)]
    write_table([row], path, kept=others)


if __name__ == "__main__":
    main()
