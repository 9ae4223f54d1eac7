"""The soak test: episodes of random disturbances until the time is up, and a table of their consequences.

Every episode has a new source of tiny photographs, in a folder or in a bucket whose requests fail ten times in a
hundred. About six runs are disturbed; then undisturbed runs must complete the outputs and rows of a world without
disturbances.
"""

from __future__ import annotations

import argparse
import logging
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from unittest import mock

from benchmarks.common.tables import write_table
from benchmarks.reliability.disturbances import ON_FAULTY_S3, ON_FOLDERS
from benchmarks.reliability.episode import Episode, warm_up
from benchmarks.reliability.faulty_bucket import faulty_bucket
from benchmarks.reliability.work import Redone, redone
from benchmarks.reliability.world import VERSIONS, Faults, World, check, content, keys, new_world, write_model
from infra.storage.location import open_location

RESULTS = Path(__file__).parents[1] / "results" / "soak.csv"
DISTURBANCES = 6
"""Number of disturbances per episode."""
RENEWED = 0.5
"""Share of the photographs that change before each disturbed run."""
S3_SHARE = 0.2
QUICK = {"DERAIN_RETRY_SECONDS": "10", "OMP_NUM_THREADS": "1"}

Expected = Mapping[tuple[str, int], bytes]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: one kind of disturbance, or all together. Only the row of all counts faults."""

    disturbance: str
    disturbed_runs: int
    mean_images_redone: float
    worst_images_redone: int
    worst_seconds_redone: float
    seed: int
    gaps: int | None = None
    doubles: int | None = None
    byte_differences: int | None = None
    leftovers: int | None = None
    unforeseen_errors: int | None = None
    unfinished_episodes: int | None = None
    """Episodes that undisturbed runs did not complete, or whose last run still had something to do."""


@dataclass(slots=True)
class Soak:
    """Results of all episodes so far."""

    seed: int
    lost: dict[str, list[Redone]]
    faults: Faults
    crashes: int = 0
    unfinished: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, doubled, changed or left undone."""
        return self.faults == Faults() and not self.crashes and not self.unfinished

    @property
    def runs(self) -> int:
        """Number of disturbed runs so far."""
        return sum(map(len, self.lost.values()))

    def take(self, episode: Episode, kinds: Mapping[int, str], expected: Expected) -> None:
        """Complete an episode, and count its faults."""
        self.unfinished += not episode.terminate()
        self.faults += check(episode.world, expected)
        self.crashes += episode.crashes
        lost = redone(episode.events)
        for number, kind in kinds.items():
            self.lost[kind].append(lost.get(number, Redone()))

    def rows(self) -> list[Row]:
        """Return the rows of the table, that of all disturbances first."""
        everything = [each for lost in self.lost.values() for each in lost]
        total = replace(
            self._row("all", everything),
            **asdict(self.faults),
            unforeseen_errors=self.crashes,
            unfinished_episodes=self.unfinished,
        )
        return [total, *(self._row(kind, lost) for kind, lost in sorted(self.lost.items()))]

    def _row(self, name: str, lost: list[Redone]) -> Row:
        images = [each.images for each in lost]
        return Row(
            disturbance=name,
            disturbed_runs=len(lost),
            mean_images_redone=round(fmean(images), 2),
            worst_images_redone=max(images),
            worst_seconds_redone=round(max(each.seconds for each in lost), 1),
            seed=self.seed,
        )


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description="Disturb runs of derain-batch and check the results.")
    parser.add_argument("--minutes", type=float, default=15, help="minutes after which no episode begins")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random except timing")
    parser.add_argument("--out", type=Path, default=RESULTS, help="file of the table")
    options = parser.parse_args(arguments)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it logs every request to the bucket
    with tempfile.TemporaryDirectory(prefix="derain-soak-") as folder:
        soak = soak_for(60 * options.minutes, options.seed, Path(folder))
    write_table(soak.rows(), options.out)
    print(soak.rows()[0])
    return 0 if soak.is_clean else 1


def soak_for(seconds: float, seed: int, folder: Path) -> Soak:
    """Run episodes for some seconds, at least one.

    Parameters
    ----------
    seconds : float
        Seconds after which no episode begins; the last one is completed.
    seed : int
        Seed of the choice of disturbances.
    folder : Path
        Folder for the worlds of the episodes.
    """
    warm_up()
    model = write_model(folder / "tiny.safetensors")
    expected = _expected(model, folder / "reference")
    soak, until = Soak(seed, defaultdict(list), Faults()), time.monotonic() + seconds
    for number in range(1_000_000):
        chance = random.Random(f"{seed} {number}")
        with _episode(folder / f"{number:04d}", model, chance) as episode:
            soak.take(episode, _disturbed(episode), expected)
        print(
            f"episode {number}: {soak.runs} disturbed runs, {soak.faults}, {soak.crashes} crashes", flush=True
        )
        if time.monotonic() > until:
            break
    return soak


def _disturbed(episode: Episode) -> dict[int, str]:
    """Disturb some runs; return the kind of disturbance by number of the run."""
    kinds = ON_FOLDERS if episode.world.url.startswith("/") else ON_FAULTY_S3
    happened: dict[int, str] = {}
    for _ in range(DISTURBANCES):
        kind = episode.random.choice(sorted(kinds))
        episode.renew(RENEWED)
        before = episode.runs
        kinds[kind](episode)
        happened |= dict.fromkeys(range(before + 1, episode.runs + 1), kind)
    return happened


@contextmanager
def _episode(folder: Path, model: Path, chance: random.Random) -> Iterator[Episode]:
    folder.mkdir()
    if chance.random() >= S3_SHARE:
        yield Episode(new_world(str(folder), model), folder, chance, QUICK)
        return
    with faulty_bucket(chance.randrange(2**32)) as bucket, mock.patch.dict("os.environ", bucket.direct):
        yield Episode(new_world(bucket.url, model), folder, chance, {**QUICK, **bucket.faulty})


def _expected(model: Path, folder: Path) -> Expected:
    """Derain every content of every photograph in an undisturbed world."""
    folder.mkdir()
    world = World(str(folder), model, {})
    named = {f"{version}/{key}": (key, version) for key in keys() for version in range(VERSIONS)}
    for name, (key, version) in named.items():
        open_location(world.source).put(name, content(key, version))
    episode = Episode(world, folder, random.Random(0), QUICK)
    if not episode.terminate():
        raise RuntimeError(f"an undisturbed run failed: {(folder / 'errors.txt').read_text()}")
    outputs = open_location(world.destination)
    return {named[name]: outputs.fetch(name) for name in named}
