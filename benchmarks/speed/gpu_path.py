"""Compare ways to derain batches on a device, from uint8 on the host to uint8 on the host.

    python -m benchmarks.speed.gpu_path --batches 1 4 16 64

`waiting` copies, computes and copies back one batch after the other (`Engine.derain`); `ahead` begins the next
batch before it waits for the last one (`Engine.begin`), as derain-batch does; `computing` leaves out the copies and
is the upper bound. Repeats are interleaved. Runs on a GPU if there is one, otherwise on a CPU, where nothing can
overlap. Writes `results/gpu_path.csv`, whose rows name the device; rows of other devices stay.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.common.device import device_name
from benchmarks.common.tables import rows_of, write_table
from models.engine import Begun, Engine, choose_device, fast_dtype
from models.images import RgbBatch
from models.modelfile import build, read_model_file
from models.shipped import network_path

RESULTS = Path(__file__).parents[1] / "results" / "gpu_path.csv"
UNTIMED = 3


@dataclass(frozen=True, slots=True)
class Row:
    """One way to derain, at one batch size."""

    network: str
    way: str
    size: str
    batch: int
    images_per_second: float
    """Median of the repeats."""
    ratio_to_computing: float
    """Speed as a share of that of `computing`."""
    device: str


Way = Callable[[Engine, Sequence[RgbBatch]], object]


def waiting(engine: Engine, batches: Sequence[RgbBatch]) -> None:
    """Derain batches one after the other."""
    for batch in batches:
        engine.derain(batch)


def ahead(engine: Engine, batches: Sequence[RgbBatch]) -> None:
    """Derain batches as derain-batch does."""
    begun: deque[Begun] = deque()
    for batch in batches:
        begun.append(engine.begin(batch))
        while len(begun) > engine.ahead:
            begun.popleft().result()
    while begun:
        begun.popleft().result()


@torch.inference_mode()
def computing(engine: Engine, batches: Sequence[RgbBatch]) -> None:
    """Derain a batch on the device repeatedly, as often as there are batches."""
    shape = (len(batches[0]), 3, *batches[0].shape[1:3])
    floats = torch.rand(shape, device=engine.device).contiguous(memory_format=torch.channels_last)
    for _ in batches:
        engine.network(floats)
    if engine.device.type == "cuda":
        torch.cuda.synchronize(engine.device)


WAYS: dict[str, Way] = {"computing": computing, "waiting": waiting, "ahead": ahead}


def main() -> None:
    """Measure all batch sizes and write the table."""
    arguments = _parse()
    device = choose_device(arguments.device)
    model = read_model_file(network_path(arguments.network))
    for batch in arguments.batches:
        engine = Engine(build(model, arguments.network), device, fast_dtype(device))
        rates = measure(
            engine, batch, (arguments.height, arguments.width), arguments.passes, arguments.repeats
        )
        size = f"{arguments.width}x{arguments.height}"
        rows = [
            Row(
                arguments.network,
                way,
                size,
                batch,
                round(median(each), 2),
                round(median(rate / floor for rate, floor in zip(each, rates["computing"], strict=True)), 3),
                device_name(device),
            )
            for way, each in rates.items()
        ]
        write(rows, arguments.out)
        for row in rows:
            print(
                f"{row.way:<10} x{row.batch:<3} {row.images_per_second:9.1f} images/s {row.ratio_to_computing:6.1%}"
            )


def measure(
    engine: Engine, batch: int, size: tuple[int, int], passes: int, repeats: int
) -> dict[str, list[float]]:
    """Return the images per second of each way in each repeat."""
    pixels = np.random.default_rng(0).integers(0, 256, (batch, *size, 3), dtype=np.uint8)
    rates: dict[str, list[float]] = {name: [] for name in WAYS}
    for repeat in range(repeats):
        for name, way in WAYS.items():
            if repeat == 0:
                way(engine, [pixels] * UNTIMED)
            began = time.perf_counter()
            way(engine, [pixels] * passes)
            rates[name].append(batch * passes / (time.perf_counter() - began))
    return rates


def write(rows: Sequence[Row], path: Path) -> None:
    """Write rows, which replace those of the same network, size, batch and device."""

    def identity(row: dict[str, str]) -> tuple[str, ...]:
        return (row["network"], row["size"], row["batch"], row["device"])

    replaced = {(row.network, row.size, str(row.batch), row.device) for row in rows}
    write_table(rows, path, kept=[row for row in rows_of(path, Row) if identity(row) not in replaced])


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.gpu_path", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--network", default="student-base")
    parser.add_argument("--device", default="auto", help="cpu, cuda; default: cuda if there is one")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--passes", type=int, default=100, help="batches per repeat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
