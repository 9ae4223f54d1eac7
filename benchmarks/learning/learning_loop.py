"""Measure the gain of each term of semi-supervised training on rain that the shipped student has never seen.

    python -m benchmarks.learning.learning_loop --data DATA [--terms TERM ...] [--domains DOMAIN ...] [--steps N]

`DATA` is a training folder (`clean/`, `streaks/`, `garg/`), with `paired/rain100l` in it or next to it, on which
the loss is measured. Held-out photographs are rendered under three kinds of rain
(`benchmarks.learning.rain_domains`). Training sees the rainy ones alone. Their clean versions only score the
result: weights are selected on rendered rain and on other photographs under real streaks. Each finished cell is a
row of `results/learning_loop.csv` and is not measured again; an interrupted one resumes from its checkpoint in
`--work`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.common.photographs import images_in, read
from benchmarks.common.tables import rows_of, write_table
from benchmarks.learning.finetuning_run import TERMS, FineTuned, Setup, engine_of, fine_tune, shipped
from benchmarks.learning.rain_domains import DOMAINS, STRENGTHS, RainyScene, scenes
from models.engine import Engine
from models.evaluation.metrics import psnr_y
from models.evaluation.validation import CLEAN_CEILING
from models.images import RgbImage
from models.modelfile import STUDENT_BASE
from models.training.config import TrainConfig
from tasks.promotion.bootstrap import Interval, paired_interval

RESULTS = Path(__file__).parents[1] / "results" / "learning_loop.csv"
POOL, UNSEEN = 0, 1
"""Frames of a scene: the one in the unlabelled pool, and one that training never sees."""


@dataclass(frozen=True, slots=True)
class LoopRow:
    """One cell. Gains are psnr_y of the fine-tuned student minus that of the shipped one, in dB; 95 % intervals."""

    terms: str
    domain: str
    steps: int
    seed: int
    photographs: int
    rainy: float
    start: float
    lead: float
    """psnr_y of the shipped student minus that of the rainy photographs."""
    gain: float
    """Gain on the photographs of the unlabelled pool."""
    gain_lower: float
    gain_upper: float
    gain_unseen: float
    """Gain on the same scenes under other rain of the domain."""
    gain_last: float
    """Gain of the last weights, without interpolation, instead of those that validation selected."""
    rain100l: float
    rain100l_lower: float
    rain100l_upper: float
    best_step: int
    """0 if nothing was better than the start on validation."""
    share: float
    """Interpolation weight from the start to the weights of that step."""
    windows: int
    accepted: int
    """Number of these windows that the bank accepted."""

    def __str__(self) -> str:
        return (
            f"{self.domain:8} {self.terms:30} start {self.start:.2f}, lead {self.lead:.2f}"
            f"  gain {self.gain:+.2f} [{self.gain_lower:+.2f}, {self.gain_upper:+.2f}]"
            f"  unseen {self.gain_unseen:+.2f}  last {self.gain_last:+.2f}"
            f"  Rain100L {self.rain100l:+.3f} [{self.rain100l_lower:+.3f}, {self.rain100l_upper:+.3f}]"
            f"  best step {self.best_step} x {self.share}"
            f"  bank {self.accepted}/{self.windows}"
        )


class Judge:
    """Score networks against clean photographs; the shipped student is scored once."""

    def __init__(self, rain100l: list[tuple[Path, Path]]) -> None:
        self._rain100l = rain100l
        self.start = engine_of(shipped())
        self._start_rain100l: npt.NDArray[np.float64] | None = None

    def row(
        self, setup: Setup, terms: str, domain: str, pool: Sequence[RainyScene], cell: FineTuned
    ) -> LoopRow:
        """Score a cell."""
        before = on_scenes(self.start, pool, POOL)
        rainy = np.array([_decibels(each.frames[POOL], each.clean) for each in pool])
        gain = paired_interval(on_scenes(cell.best, pool, POOL) - before)
        unseen = on_scenes(cell.best, pool, UNSEEN) - on_scenes(self.start, pool, UNSEEN)
        last = on_scenes(cell.last, pool, POOL) - before
        light = self.change_on_rain100l(cell.best)
        return LoopRow(
            terms,
            domain,
            setup.train.steps,
            setup.train.seed,
            len(pool),
            rainy=_rounded(rainy.mean()),
            start=_rounded(before.mean()),
            lead=_rounded((before - rainy).mean()),
            gain=_rounded(gain.mean),
            gain_lower=_rounded(gain.lower),
            gain_upper=_rounded(gain.upper),
            gain_unseen=_rounded(unseen.mean()),
            gain_last=_rounded(last.mean()),
            rain100l=_rounded(light.mean),
            rain100l_lower=_rounded(light.lower),
            rain100l_upper=_rounded(light.upper),
            best_step=cell.best_step,
            share=cell.share,
            windows=len(cell.harvest.windows),
            accepted=len(cell.harvest.layers),
        )

    def change_on_rain100l(self, engine: Engine) -> Interval:
        """Compare with the start on Rain100L; the two photographs of a repeated scene count separately."""
        if self._start_rain100l is None:
            self._start_rain100l = self._on_rain100l(self.start)
        return paired_interval(self._on_rain100l(engine) - self._start_rain100l)

    def _on_rain100l(self, engine: Engine) -> npt.NDArray[np.float64]:
        pairs = ((read(rainy), read(clean)) for rainy, clean in self._rain100l)
        return np.array([_decibels(engine.derain(rainy[None])[0], clean) for rainy, clean in pairs])


def on_scenes(engine: Engine, pool: Sequence[RainyScene], rain: int) -> npt.NDArray[np.float64]:
    """Return psnr_y of each derained scene under its first or second rain."""
    derained = (engine.derain(each.frames[rain][None])[0] for each in pool)
    return np.array([_decibels(output, each.clean) for output, each in zip(derained, pool, strict=True)])


def leads(data: Path, photographs: int | None) -> Iterator[str]:
    """Report the lead of the shipped student in each domain at each strength."""
    engine = engine_of(shipped())
    for name, domain in DOMAINS.items():
        for strength in STRENGTHS:
            pool = scenes(data, replace(domain, strength=strength), photographs)
            rainy = np.array([_decibels(each.frames[POOL], each.clean) for each in pool])
            lead = float((on_scenes(engine, pool, POOL) - rainy).mean())
            mark = "  <- chosen" if strength == domain.strength else ""
            yield f"{name:8} x {strength}: rainy {rainy.mean():.2f} dB, lead {lead:.2f} dB{mark}"


def main() -> None:
    """Measure every cell that is not in the table yet."""
    arguments = _parse()
    torch.set_num_threads(arguments.threads)
    if arguments.leads:
        for line in leads(arguments.data, arguments.photographs):
            print(line, flush=True)
        return
    setup, judge = _setup(arguments), Judge(rain100l_in(arguments.data, arguments.rain100l))
    started = time.monotonic()
    for domain in arguments.domains:
        pool = scenes(arguments.data, DOMAINS[domain], arguments.photographs)
        for terms in arguments.terms:
            if _is_measured(arguments.results, terms, domain, setup.train):
                continue
            if (time.monotonic() - started) / 60 > arguments.minutes:
                raise SystemExit("the time is up; run the same command again to continue")
            cell = fine_tune(setup, terms, pool, setup.out(terms, domain))
            row = judge.row(setup, terms, domain, pool, cell)
            print(row, flush=True)
            write_table([row], arguments.results, kept=rows_of(arguments.results, LoopRow))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning.learning_loop", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with clean/, streaks/, garg/")
    parser.add_argument("--terms", nargs="+", choices=TERMS, default=list(TERMS), help="rows; default: all")
    parser.add_argument("--domains", nargs="+", choices=list(DOMAINS), default=list(DOMAINS))
    parser.add_argument("--steps", type=int, default=800, help="optimiser steps per cell")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="minutes after which no cell begins"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16, help="crops per step, half of them re-rained")
    parser.add_argument("--crop", type=int, default=96, help="side of the crops")
    parser.add_argument("--validate-every", type=int, default=100, help="steps")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--photographs", type=int, help="scenes per domain; default: all 20")
    parser.add_argument("--rain100l", type=int, default=100, help="photographs of Rain100L")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--leads", action="store_true", help="only print the lead at every strength")
    parser.add_argument("--work", type=Path, default=Path("var/learning_loop"), help="checkpoints")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args()


def _setup(arguments: argparse.Namespace) -> Setup:
    train = TrainConfig(
        init=str(STUDENT_BASE),
        steps=arguments.steps,
        batch=arguments.batch,
        crop=arguments.crop,
        learning_rate=arguments.learning_rate,
        warm_up=20,
        cool_down=1.0,
        finish=1.0,
        ema=0.99,
        seed=arguments.seed,
        validate_every=arguments.validate_every,
        validation_photographs=8,
    )
    return Setup(arguments.data, arguments.work, train)


def rain100l_in(data: Path, photographs: int) -> list[tuple[Path, Path]]:
    """List the first photographs of Rain100L, rainy and clean, which lies in a training folder or next to it."""
    folders = (data / "paired", data.parent / "paired")
    found = next((folder for folder in folders if folder.is_dir()), folders[0]) / "rain100l"
    return [(path, found / "clean" / path.name) for path in images_in(found / "rain")[:photographs]]


def _is_measured(results: Path, terms: str, domain: str, train: TrainConfig) -> bool:
    cell = (terms, domain, str(train.steps), str(train.seed))
    rows = rows_of(results, LoopRow)
    return any((row["terms"], row["domain"], row["steps"], row["seed"]) == cell for row in rows)


def _decibels(derained: RgbImage, clean: RgbImage) -> float:
    return min(psnr_y(derained, clean), CLEAN_CEILING)


def _rounded(decibels: float) -> float:
    return round(float(decibels), 3)


if __name__ == "__main__":
    main()
