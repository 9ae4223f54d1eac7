"""Measure the gain of a whole retraining on rain that the shipped student has never seen, and its promotion.

    python -m benchmarks.learning.retraining --data DATA [--domains DOMAIN ...] [--steps N]

Only the rainy photographs of a domain (`benchmarks.learning.rain_domains`) go through `ingest`; then `retrain` runs
with preset cpu, its trainings shortened to `--steps`. Promotion is decided on the default validation set. The
result is scored against the clean versions and on Rain100L (`paired/rain100l` in `DATA` or next to it). Each
finished domain is a row of `results/retraining.csv` and is not measured again; an interrupted one resumes.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from PIL import Image as Pillow
from prefect import State

from benchmarks.common.tables import rows_of, write_table
from benchmarks.learning.finetuning_run import engine_of
from benchmarks.learning.learning_loop import POOL, UNSEEN, Judge, on_scenes, rain100l_in
from benchmarks.learning.outcomes import decision, gain, line_of
from benchmarks.learning.rain_domains import DOMAINS, RainyScene, scenes
from flows.ingest import ingest
from flows.retrain import retrain
from infra.catalog.pool import Pool
from infra.catalog.promotions import Ledger
from infra.catalog.pseudo_labels import PseudoLabels
from infra.settings import Settings, read_settings
from infra.tracking.registry import STUDENT, Registry
from models.engine import Engine
from models.modelfile import ModelFile, build
from tasks.promotion.bootstrap import paired_interval
from tasks.retraining import presets
from tasks.training import finetuning_request

RESULTS = Path(__file__).parents[1] / "results" / "retraining.csv"
CPU = "cpu"


@dataclass(frozen=True, slots=True)
class RetrainingRow:
    """One domain. Gains are psnr_y of the new student minus that of the shipped one, in dB; 95 % intervals."""

    domain: str
    steps: int
    """Number of steps of each of the two trainings."""
    crops: int
    pseudo_labels: int
    """Number of accepted pseudo-labels."""
    decision: str
    validation: float | None
    """Gain on the validation photographs, which decide on the promotion."""
    gain: float
    """Gain on the photographs that were ingested."""
    gain_lower: float
    gain_upper: float
    gain_unseen: float
    """Gain on the same scenes under other rain of the domain."""
    rain100l: float
    rain100l_lower: float
    rain100l_upper: float
    reasons: str


@dataclass(frozen=True, slots=True)
class Setup:
    """Data, folder and steps of every domain."""

    data: Path
    work: Path
    steps: int


def measure(setup: Setup, domain: str, judge: Judge) -> RetrainingRow:
    """Run the rainy photographs of a domain through the loop, and score the result."""
    pool = scenes(setup.data, DOMAINS[domain])
    settings = _workspace(setup, domain)
    source = write_photographs(pool, Path(settings.workspace).with_name("photographs"))
    _done(ingest(source=str(source), return_state=True))
    with shortened(setup.steps):
        _done(retrain(preset=CPU, data=str(setup.data), return_state=True))
    decided = decision(Ledger(settings.workspace).rows(STUDENT))
    if decided is None:
        raise SystemExit(f"{domain}: no promotion was decided; see {settings.workspace}")
    engine = _engine(settings, decided.to_version)
    gains = paired_interval(on_scenes(engine, pool, POOL) - on_scenes(judge.start, pool, POOL))
    unseen = on_scenes(engine, pool, UNSEEN) - on_scenes(judge.start, pool, UNSEEN)
    light = judge.change_on_rain100l(engine)
    return RetrainingRow(
        domain,
        setup.steps,
        crops=Pool(settings.workspace).count(),
        pseudo_labels=PseudoLabels(settings.workspace).accepted().height,
        decision=decided.decision,
        validation=gain(decided),
        gain=round(gains.mean, 3),
        gain_lower=round(gains.lower, 3),
        gain_upper=round(gains.upper, 3),
        gain_unseen=round(float(unseen.mean()), 3),
        rain100l=round(light.mean, 3),
        rain100l_lower=round(light.lower, 3),
        rain100l_upper=round(light.upper, 3),
        reasons=decided.reasons,
    )


@contextmanager
def shortened(steps: int) -> Iterator[None]:
    """Limit the trainings of preset cpu to `steps` steps."""
    sizes = replace(presets.PRESETS[CPU], distill_steps=steps)
    slim = finetuning_request.PRESETS[sizes.finetune]
    shorter = replace(slim, steps=steps, validate_every=max(1, steps // 3))
    with ExitStack() as stack:
        stack.enter_context(patch.dict(presets.PRESETS, {CPU: sizes}))
        stack.enter_context(patch.dict(finetuning_request.PRESETS, {sizes.finetune: shorter}))
        yield


def _workspace(setup: Setup, domain: str) -> Settings:
    """Select a separate workspace for a domain."""
    os.environ |= {
        "DERAIN_WORKSPACE": str(setup.work / f"{domain}-{setup.steps}" / "workspace"),
        "DERAIN_DEVICE": "cpu",
        "DERAIN_WORKERS": "1",
    }
    os.environ.pop("DERAIN_VALIDATION", None)
    return read_settings()


def write_photographs(pool: Sequence[RainyScene], folder: Path) -> Path:
    """Write the rainy photographs, each as a separate source group, like photographs of different cameras."""
    for number, each in enumerate(pool):
        path = folder / f"camera-{number:02d}" / "rainy.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            Pillow.fromarray(each.frames[POOL]).save(path)
    return folder


def _done(state: State[Any]) -> None:
    """End the program if a flow failed; a refused promotion is not a failure."""
    if not state.is_completed():
        raise SystemExit(line_of(state))


def _engine(settings: Settings, version: str) -> Engine:
    found = Registry(settings).resolve(f"models:/{STUDENT}/{version}")
    return engine_of(build(ModelFile(found.weights, found.config)))


def main() -> None:
    """Measure every domain that is not in the table yet."""
    arguments = _parse()
    torch.set_num_threads(arguments.threads)
    setup = Setup(arguments.data.absolute(), arguments.work.absolute(), arguments.steps)
    judge = Judge(rain100l_in(arguments.data, arguments.rain100l))
    for domain in arguments.domains:
        kept = rows_of(arguments.results, RetrainingRow)
        if (domain, str(setup.steps)) in {(row["domain"], row["steps"]) for row in kept}:
            continue
        row = measure(setup, domain, judge)
        print(row, flush=True)
        write_table([row], arguments.results, rows_of(arguments.results, RetrainingRow))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning.retraining", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with clean/, streaks/, garg/")
    parser.add_argument("--domains", nargs="+", choices=list(DOMAINS), default=list(DOMAINS))
    parser.add_argument("--steps", type=int, default=300, help="steps of each training")
    parser.add_argument("--rain100l", type=int, default=100, help="photographs of Rain100L")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("var/retraining"), help="workspaces")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
