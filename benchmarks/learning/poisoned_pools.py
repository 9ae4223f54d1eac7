"""Run ten poisoned pools through the learning loop, and check that none of them gives a champion.

    python -m benchmarks.learning.poisoned_pools [--data RAINY_FOLDER] [--pools NAME ...] [--steps N]

Each pool has its own workspace, with the shipped student as champion. Photographs go through ingest, then retrain
runs with preset smoke, with enough steps and a learning rate high enough for poison to have an effect. Whatever
stops a poison early does not test the gates, so the last weights of the poisoned training also go to promote
directly, past validation. Without `--data`, the photographs are scikit-image's under procedural rain; the
validation set has parts of the same photographs, which favours the challengers.

Each finished pool is a row of `results/poisoned_pools.csv` and is not measured again. The exit code is 1 if a
poisoned pool of the table gave a champion, or any pool ended with a traceback or left pixels that no table names.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from PIL import Image as Pillow
from prefect.states import Completed

from benchmarks.common.photographs import images_in, middle, read
from benchmarks.common.tables import rows_of, write_table
from benchmarks.learning.outcomes import (
    Ending,
    PoolRow,
    decision,
    ending_of,
    failures,
    gain,
    last_weights,
    line_of,
    uncommitted,
    without_paths,
)
from benchmarks.learning.poisons import POISONS, Poison, Scenes
from flows import retrain as loop
from flows.ingest import ingest
from flows.promote import promote
from flows.retrain import retrain
from infra.catalog.pool import Pool
from infra.catalog.promotions import Ledger, Promotion
from infra.catalog.pseudo_labels import PseudoLabels
from infra.settings import Settings, read_settings
from infra.tracking.registry import CHAMPION_URL, STUDENT, Registry
from models.training.distill.teacher_targets import evenly
from tasks.media.samples import PHOTOGRAPHS, photograph, rain_on
from tasks.promotion.validation_samples import make_validation
from tasks.resolved_model import resolve_model
from tasks.retraining import presets
from tasks.training import distillation_request, finetuning_request
from tasks.training import request as training_request

RESULTS = Path(__file__).parents[1] / "results" / "poisoned_pools.csv"
SAMPLES = "samples"
MOST_PHOTOGRAPHS = 10
SIDE = 256
SMOKE = "smoke"
RERAINED_BATCH = 8
"""Crops per step of fine-tuning. The last steps use a quarter as many; with a single one, none would be
re-rained."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Photographs and hyper-parameters of every pool."""

    work: Path
    photographs: str
    scenes: Scenes
    steps: int
    learning_rate: float


def measure(setup: Setup, name: str) -> PoolRow:
    """Poison a pool in a new workspace and run it through the loop."""
    poison = POISONS[name]
    settings = _fresh(setup, name)
    resolve_model(settings, CHAMPION_URL)  # registers the shipped student
    before = Registry(settings).aliases(STUDENT).champion
    ending, crops = _through(setup, settings, poison)
    ledger = Ledger(settings.workspace)
    decided = decision(ledger.rows(STUDENT))
    last_state, last = _unselected(settings, ledger)
    rows = ledger.rows(STUDENT)
    return PoolRow(
        pool=name,
        photographs=setup.photographs,
        steps=setup.steps,
        learning_rate=setup.learning_rate,
        poisoned=poison.description,
        crops=crops,
        pseudo_labels=PseudoLabels(settings.workspace).accepted().height,
        stage=ending.stage,
        state=ending.state,
        message=without_paths(ending.message, Path(settings.workspace)),
        psnr_y_gain=gain(decided),
        last_state=last_state,
        last_psnr_y_gain=gain(last),
        promotions=sum(row.decision == "promoted" for row in rows),
        champion_before=str(before),
        champion_after=str(Registry(settings).aliases(STUDENT).champion),
        uncommitted=uncommitted(settings.workspace),
    )


def _fresh(setup: Setup, name: str) -> Settings:
    """Create an empty workspace and select it through the environment."""
    home = setup.work / name
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    os.environ |= {
        "DERAIN_WORKSPACE": str(home / "workspace"),
        "DERAIN_VALIDATION": make_validation(str(setup.work)),
    }
    return read_settings()


def _through(setup: Setup, settings: Settings, poison: Poison) -> tuple[Ending, int]:
    """Ingest, poison the later steps, retrain; return how the retraining ended and the number of crops."""
    source = write_source(poison, setup.scenes, Path(settings.workspace).with_name("photographs"))
    taken = ingest(source=str(source), return_state=True)
    crops = Pool(settings.workspace).count()
    with ExitStack() as stack:
        stack.enter_context(trained_hard(setup.steps, setup.learning_rate))
        curated = poison.labels(settings.workspace)
        if curated is not None and not curated.is_completed():
            return Ending("curate", str(curated.name), line_of(curated)), crops
        stack.enter_context(poison.retraining(settings.workspace))
        ending = ending_of(retrain(preset=SMOKE, return_state=True), Ledger(settings.workspace))
    if not taken.is_completed():
        ending = Ending("ingest", str(taken.name), f"{line_of(taken)}; retrain: {ending.message}")
    return ending, crops


def write_source(poison: Poison, scenes: Scenes, folder: Path) -> Path:
    """Write the photographs of a pool to a folder; return the folder."""
    folder.mkdir(parents=True)
    for name, pixels in poison.photographs(scenes):
        (folder / name).parent.mkdir(exist_ok=True)
        Pillow.fromarray(pixels).save(folder / name)
    return folder


@contextmanager
def trained_hard(steps: int, learning_rate: float) -> Iterator[None]:
    """Make preset smoke train for `steps` steps at `learning_rate`; on its own it hardly changes the weights."""
    hard: dict[str, Any] = {
        "steps": steps,
        "learning_rate": learning_rate,
        "validate_every": max(1, steps // 2),
    }
    finetuned = replace(finetuning_request.PRESETS[SMOKE], **hard, batch=RERAINED_BATCH)
    distilled = replace(distillation_request.PRESETS[SMOKE], **hard)
    continued = replace(training_request.CONTINUED, learning_rate=learning_rate)
    with ExitStack() as stack:
        stack.enter_context(patch.dict(finetuning_request.PRESETS, {SMOKE: finetuned}))
        stack.enter_context(patch.dict(distillation_request.PRESETS, {SMOKE: distilled}))
        stack.enter_context(patch.object(training_request, "CONTINUED", continued))
        sizes = replace(presets.PRESETS[SMOKE], distill_steps=steps)
        # `evaluate` decides nothing, and promote measures the same again.
        stack.enter_context(patch.object(loop, "evaluate", lambda **_: Completed(message="left to promote")))
        stack.enter_context(patch.dict(presets.PRESETS, {SMOKE: sizes}))
        yield


def _unselected(settings: Settings, ledger: Ledger) -> tuple[str, Promotion | None]:
    """Pass the last weights of the training to promote; return the decision and its row."""
    weights = last_weights(Path(settings.workspace))
    if weights is None:
        return "", None
    known = len(ledger.rows(STUDENT))
    state = promote(challenger=str(weights), return_state=True)
    decided = decision(ledger.rows(STUDENT)[known:])
    if decided is None:
        return without_paths(f"{state.name}: {line_of(state)}", Path(settings.workspace)), None
    return decided.decision.capitalize(), decided


def main() -> None:
    """Measure every pool that is not in the table yet."""
    arguments = _parse()
    torch.set_num_threads(arguments.threads)
    setup = _setup(arguments)
    for name in arguments.pools:
        if _is_measured(arguments.results, name, setup):
            continue
        measured = measure(setup, name)
        print(measured, flush=True)
        write_table([measured], arguments.results, kept=rows_of(arguments.results, PoolRow))
    wrong = [each for row in rows_of(arguments.results, PoolRow) for each in failures(row)]
    if wrong:
        raise SystemExit("; ".join(wrong))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning.poisoned_pools", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--data", type=Path, help="folder of rainy photographs; default: samples under procedural rain"
    )
    parser.add_argument(
        "--pools", nargs="+", choices=list(POISONS), default=list(POISONS), help="default: all"
    )
    parser.add_argument("--steps", type=int, default=60, help="steps of fine-tuning and of distillation")
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--work", type=Path, default=Path("var/poisoned_pools"), help="workspaces of the pools"
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args()


def _setup(arguments: argparse.Namespace) -> Setup:
    os.environ |= {"DERAIN_DEVICE": "cpu", "DERAIN_WORKERS": "1"}
    os.environ.pop("DERAIN_TRAINING", None)
    clean = [middle(photograph(name), SIDE) for name in PHOTOGRAPHS]
    if arguments.data is None:
        scenes = Scenes(clean, [rain_on(each, number) for number, each in enumerate(clean)])
    else:
        paths = evenly(images_in(arguments.data), MOST_PHOTOGRAPHS)
        scenes = Scenes(clean, [middle(read(path), SIDE) for path in paths])
    named = SAMPLES if arguments.data is None else arguments.data.name
    work = arguments.work.absolute()
    return Setup(work, named, scenes, arguments.steps, arguments.learning_rate)


def _is_measured(results: Path, name: str, setup: Setup) -> bool:
    cell = (name, setup.photographs, str(setup.steps), str(setup.learning_rate))
    columns = ("pool", "photographs", "steps", "learning_rate")
    return any(tuple(row[column] for column in columns) == cell for row in rows_of(results, PoolRow))


if __name__ == "__main__":
    main()
