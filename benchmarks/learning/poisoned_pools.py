"""Ten poisoned pools through the learning loop: how each one ends, and that no champion comes of it.

    python -m benchmarks.learning.poisoned_pools [--data RAINY_FOLDER] [--pools NAME ...] [--steps N]

Each pool has a workspace of its own, with the shipped student as champion. Photographs go through ingest, then
retrain runs with preset smoke, trained so long and at such a rate that poison has an effect. What stops a poison
early says nothing about the gates, so the last weights of the poisoned training are handed to promote too, past
validation and all. Unless `--data` is given, photographs are those that scikit-image ships, under rain of ours: the
validation set has parts of the same ones, to the advantage of the challengers.

Each finished pool is a row of `results/poisoned_pools.csv` and is not measured again. The exit code is 1 if a
poisoned pool of the table made a champion, or one of them ended in a traceback or left pixels behind that no table
names.
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
from flows import retrain as stages
from flows.ingest import ingest
from flows.promote import promote
from flows.retrain import retrain
from infra.catalog.pool import Pool
from infra.catalog.promotions import Ledger, Promotion
from infra.catalog.pseudo_labels import PseudoLabels
from infra.settings import Settings, read_settings
from infra.tracking.registry import CHAMPION_URL, STUDENT, Registry
from models.training.distill.teacher_targets import evenly
from tasks.media.samples import photograph, rain_on
from tasks.promotion.validation_samples import PHOTOGRAPHS, make_validation
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
"""Crops of a step of fine-tuning, in the end a quarter as many, larger ones: of a single one none is rained on."""


@dataclass(frozen=True, slots=True)
class Course:
    """How every pool is treated."""

    work: Path
    photographs: str
    scenes: Scenes
    steps: int
    learning_rate: float


def measure(course: Course, name: str) -> PoolRow:
    """Poison a pool in a fresh workspace and take it through the loop."""
    poison = POISONS[name]
    settings = _fresh(course, name)
    resolve_model(settings, CHAMPION_URL)  # registers the shipped student
    before = Registry(settings).standing(STUDENT).champion
    ending, crops = _through(course, settings, poison)
    ledger = Ledger(settings.workspace)
    decided = decision(ledger.rows(STUDENT))
    last_state, last = _unselected(settings, ledger)
    rows = ledger.rows(STUDENT)
    return PoolRow(
        pool=name,
        photographs=course.photographs,
        steps=course.steps,
        learning_rate=course.learning_rate,
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
        champion_after=str(Registry(settings).standing(STUDENT).champion),
        uncommitted=uncommitted(settings.workspace),
    )


def _fresh(course: Course, name: str) -> Settings:
    """Make an empty workspace and choose it."""
    home = course.work / name
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    os.environ |= {
        "DERAIN_WORKSPACE": str(home / "workspace"),
        "DERAIN_VALIDATION": make_validation(str(course.work)),
    }
    return read_settings()


def _through(course: Course, settings: Settings, poison: Poison) -> tuple[Ending, int]:
    """Ingest, poison what comes later, retrain; return how that ended and how many crops there were."""
    source = write_source(poison, course.scenes, Path(settings.workspace).with_name("photographs"))
    taken = ingest(source=str(source), return_state=True)
    crops = Pool(settings.workspace).count()
    with ExitStack() as stack:
        stack.enter_context(trained_hard(course.steps, course.learning_rate))
        curated = poison.labels(settings.workspace)
        if curated is not None and not curated.is_completed():
            return Ending("curate", str(curated.name), line_of(curated)), crops
        stack.enter_context(poison.retraining(settings.workspace))
        ending = ending_of(retrain(preset=SMOKE, return_state=True), Ledger(settings.workspace))
    if not taken.is_completed():
        ending = Ending("ingest", str(taken.name), f"{line_of(taken)}; retrain: {ending.message}")
    return ending, crops


def write_source(poison: Poison, scenes: Scenes, folder: Path) -> Path:
    """Write the photographs of a pool to a folder; return it."""
    folder.mkdir(parents=True)
    for name, pixels in poison.photographs(scenes):
        (folder / name).parent.mkdir(exist_ok=True)
        Pillow.fromarray(pixels).save(folder / name)
    return folder


@contextmanager
def trained_hard(steps: int, learning_rate: float) -> Iterator[None]:
    """Let preset smoke train for `steps` steps at `rate`: by itself it only shows that everything works."""
    hard: dict[str, Any] = {
        "steps": steps,
        "learning_rate": learning_rate,
        "validate_every": max(1, steps // 2),
    }
    tuned = replace(finetuning_request.PRESETS[SMOKE], **hard, batch=RERAINED_BATCH)
    distilled = replace(distillation_request.PRESETS[SMOKE], **hard)
    continued = replace(training_request.STAGE_2, learning_rate=learning_rate)
    with ExitStack() as stack:
        stack.enter_context(patch.dict(finetuning_request.PRESETS, {SMOKE: tuned}))
        stack.enter_context(patch.dict(distillation_request.PRESETS, {SMOKE: distilled}))
        stack.enter_context(patch.object(training_request, "STAGE_2", continued))
        sizes = replace(presets.PRESETS[SMOKE], distill_steps=steps)
        # It measures what promote measures again, and decides nothing.
        stack.enter_context(
            patch.object(stages, "evaluate", lambda **_: Completed(message="left to promote"))
        )
        stack.enter_context(patch.dict(presets.PRESETS, {SMOKE: sizes}))
        yield


def _unselected(settings: Settings, ledger: Ledger) -> tuple[str, Promotion | None]:
    """Hand the last weights of the training to promote; return what came of it."""
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
    course = _course(arguments)
    for name in arguments.pools:
        if _is_there(arguments.results, name, course):
            continue
        measured = measure(course, name)
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
        "--data", type=Path, help="folder of rainy photographs; default: samples under our rain"
    )
    parser.add_argument(
        "--pools", nargs="+", choices=list(POISONS), default=list(POISONS), help="default: all"
    )
    parser.add_argument("--steps", type=int, default=60, help="of fine-tuning and of distillation")
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--work", type=Path, default=Path("var/poisoned_pools"), help="workspaces of the pools"
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args()


def _course(arguments: argparse.Namespace) -> Course:
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
    return Course(work, named, scenes, arguments.steps, arguments.learning_rate)


def _is_there(results: Path, name: str, course: Course) -> bool:
    cell = (name, course.photographs, str(course.steps), str(course.learning_rate))
    columns = ("pool", "photographs", "steps", "learning_rate")
    return any(tuple(row[column] for column in columns) == cell for row in rows_of(results, PoolRow))


if __name__ == "__main__":
    main()
