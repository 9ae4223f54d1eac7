"""Decode 10,000 damaged images: `python -m benchmarks.codec.fuzz` writes benchmarks/results/fuzz.csv.

Processes with at most 2 GiB of address space decode them with the limits of a run, and a good image after every
seventh. A process that dies or is silent for a minute is counted, and a new one continues.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import resource
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.codec.fuzzed_images import fuzzed, good_images
from benchmarks.common.tables import write_table
from infra.settings import Settings
from tasks.codec import ImageRejected, decode

RESULTS = Path(__file__).parents[1] / "results" / "fuzz.csv"
IMAGES = 10_000
GOOD_AFTER = 7
ADDRESS_SPACE = 2 << 30
SILENCE_SECONDS = 60.0
CRASH, HANG, MEMORY, ERROR = "crash", "hang", "MemoryError", "another error"


@dataclass(frozen=True, slots=True)
class Row:
    """Results for the damaged images of one format."""

    format: str
    images: int
    rejected: int
    accepted: int
    crashes: int
    hangs: int
    memory_errors: int
    other_errors: int
    good_images_decoded: int
    good_images_lost: int
    slowest_seconds: float
    peak_mib: int
    """Peak resident memory of the process, up to the last of these images."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of decoding one damaged image."""

    number: int
    format: str
    result: str
    good_lost: bool | None
    """Whether the good image after it was lost; None if there was none."""
    seconds: float
    peak_mib: int


def main() -> None:
    """Decode all images and write the results."""
    outcomes = list(run(IMAGES))
    rows = [_row(name, [one for one in outcomes if one.format == name]) for name in _formats(outcomes)]
    write_table([*rows, _row("all", outcomes)], RESULTS)


def run(images: int) -> Iterator[Outcome]:
    """Yield the outcome of each damaged image; processes that die are replaced."""
    start = 0
    while start < images:
        receiving, sending = multiprocessing.Pipe(duplex=False)
        worker = multiprocessing.get_context("spawn").Process(target=_work, args=(sending, start, images))
        worker.start()
        sending.close()
        for outcome in _received(receiving, start):
            yield outcome
            start = outcome.number + 1
        worker.kill()
        worker.join()


def _received(connection: Connection, start: int) -> Iterator[Outcome]:
    """Yield the outcomes that a process sends; if it falls silent or dies, the last one is the lost image."""
    number = start
    while True:
        try:
            if not connection.poll(SILENCE_SECONDS):
                yield _lost(number, HANG)
                return
            received = connection.recv()
        except EOFError:
            yield _lost(number, CRASH)
            return
        if received is None:
            return
        yield received
        number = received.number + 1


def _lost(number: int, result: str) -> Outcome:
    name, _ = fuzzed(number, good_images())
    return Outcome(number, _format(name), result, None, SILENCE_SECONDS if result == HANG else 0.0, 0)


def _work(connection: Connection, start: int, images: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    good, max_pixels = good_images(), Settings().max_pixels
    digests = {name: _digest(data, max_pixels) for name, data in good.items()}
    for number in range(start, images):
        name, data = fuzzed(number, good)
        started = time.perf_counter()
        result = _result_of(data, max_pixels)
        seconds = time.perf_counter() - started
        lost = None
        if number % GOOD_AFTER == GOOD_AFTER - 1:
            after = sorted(good)[number // GOOD_AFTER % len(good)]
            lost = _digest(good[after], max_pixels) != digests[after]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        connection.send(Outcome(number, _format(name), result, lost, seconds, peak))
    connection.send(None)


def _result_of(data: bytes, max_pixels: int) -> str:
    try:
        decode(data, max_pixels)
    except ImageRejected:
        return "rejected"
    except MemoryError:
        return MEMORY
    except Exception as error:  # noqa: BLE001 - errors that the decoder must not raise are counted
        print(f"{type(error).__name__}: {error}")
        return ERROR
    return "accepted"


def _digest(data: bytes, max_pixels: int) -> str | None:
    try:
        return hashlib.sha256(decode(data, max_pixels).rgb.tobytes()).hexdigest()
    except (ImageRejected, MemoryError):
        return None


def _format(name: str) -> str:
    return Path(name).suffix.removeprefix(".")


def _formats(outcomes: list[Outcome]) -> list[str]:
    return sorted({outcome.format for outcome in outcomes})


def _row(name: str, outcomes: list[Outcome]) -> Row:
    counts = Counter(outcome.result for outcome in outcomes)
    lost = [outcome.good_lost for outcome in outcomes if outcome.good_lost is not None]
    return Row(
        format=name,
        images=len(outcomes),
        rejected=counts["rejected"],
        accepted=counts["accepted"],
        crashes=counts[CRASH],
        hangs=counts[HANG],
        memory_errors=counts[MEMORY],
        other_errors=counts[ERROR],
        good_images_decoded=len(lost),
        good_images_lost=sum(lost),
        slowest_seconds=round(max(outcome.seconds for outcome in outcomes), 2),
        peak_mib=max(outcome.peak_mib for outcome in outcomes),
    )


if __name__ == "__main__":
    main()
