"""Ten poisoned pools through the learning loop: how each one ends, and that no champion comes of it.

    python -m benchmarks.poisoned_pools [--data RAINY_FOLDER] [--pools NAME ...] [--steps N] [--learning-rate R]

Each pool has a workspace of its own, with the shipped student as champion. Photographs go through ingest, then
retrain runs with preset smoke, trained so long and at such a rate that poison has an effect. What stops a poison
early tells nothing of the gates, so the last weights of the poisoned training are handed to promote too, past
validation and all. Unless `--data` is given, photographs are those that scikit-image ships, under rain of ours: the
validation set has parts of the same ones, to the advantage of the challengers.

Each finished pool is a row of `results/poisoned_pools.csv` and is not measured again. The exit code is 1 if a
poisoned pool made a champion, or one ended otherwise than in words meant for people.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from PIL import Image as Pillow
from prefect import State
from prefect.states import Completed

from benchmarks.photographs import images_in, middle, read
from benchmarks.poisons import CONTROL, POISONS, Poison, Scenes
from benchmarks.tables import rows_of, write_table
from flows import retrain as stages
from flows.ingest import ingest
from flows.promote import promote
from flows.retrain import retrain
from infra.pool import Pool
from infra.promotions import Ledger, Promotion
from infra.pseudo_labels import PseudoLabels
from infra.registry import STUDENT, Registry
from infra.settings import Settings, read_settings
from models.architectures import build_network, preset
from models.lessons import evenly
from models.modelfile import pack, write_model_file
from tasks import distillation_request, finetuning_request, retraining_presets
from tasks.preflight import choose_model
from tasks.promotion import CHAMPION_URL
from tasks.samples import photograph, rain_on
from tasks.validation_samples import PHOTOGRAPHS, make_validation

RESULTS = Path(__file__).parent / "results" / "poisoned_pools.csv"
SAMPLES = "samples"
MOST_PHOTOGRAPHS = 10
SIDE = 256
SMOKE = "smoke"
STAGES = ("curate", "finetune", "distill", "evaluate", "promote")
UNFORESEEN = "encountered an exception"
"""What Prefect says of a flow that ended in a traceback."""


@dataclass(frozen=True, slots=True)
class PoolRow:
    """How one pool ended. Gains are psnr_y of a challenger minus that of the champion, in dB."""

    pool: str
    photographs: str
    steps: int
    learning_rate: float
    poisoned: str
    crops: int
    """Of the pool, after ingest."""
    pseudo_labels: int
    """Accepted."""
    stage: str
    """Which one it ended in."""
    state: str
    message: str
    psnr_y_gain: float | None
    """Of what the loop came to; None where there was no other network to compare."""
    last_state: str
    """What promote made of the last weights of the training, chosen by nothing; empty where nothing trained."""
    last_psnr_y_gain: float | None
    promotions: int
    champion_before: str
    champion_after: str
    uncommitted: int
    """Groups of pixels in the workspace that no table names."""
    minutes: float

    def __str__(self) -> str:
        return (
            f"{self.pool:10} {self.crops:3} crops, {self.pseudo_labels:3} pseudo-labels, {self.stage}"
            f" {self.state}: {self.message}\n{'':10} psnr_y {_told(self.psnr_y_gain)}, last weights"
            f" {self.last_state} {_told(self.last_psnr_y_gain)}; {self.promotions} promotions, champion"
            f" {self.champion_before} then {self.champion_after}; {self.minutes:.1f} min"
        )


@dataclass(frozen=True, slots=True)
class Course:
    """How every pool is treated."""

    work: Path
    photographs: str
    scenes: Scenes
    steps: int
    learning_rate: float


@dataclass(frozen=True, slots=True)
class Ending:
    """What a flow said in the end."""

    stage: str
    state: str
    message: str


def measure(course: Course, name: str) -> PoolRow:
    """Poison a pool in a fresh workspace and take it through the loop."""
    begun, poison = time.monotonic(), POISONS[name]
    settings = _fresh(course, name)
    choose_model(settings, CHAMPION_URL)  # registers the shipped student
    before = Registry(settings).standing(STUDENT).champion
    ending, crops = _through(course, settings, poison)
    ledger = Ledger(settings.workspace)
    decided = _decision(ledger.rows(STUDENT))
    last_state, last = _unselected(settings, ledger)
    rows = ledger.rows(STUDENT)
    return PoolRow(
        pool=name,
        photographs=course.photographs,
        steps=course.steps,
        learning_rate=course.learning_rate,
        poisoned=poison.told,
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
        minutes=round((time.monotonic() - begun) / 60, 1),
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
            return Ending("curate", str(curated.name), _line(curated)), crops
        stack.enter_context(poison.retraining(settings.workspace))
        ending = ending_of(retrain(preset=SMOKE, return_state=True), Ledger(settings.workspace))
    if not taken.is_completed():
        ending = Ending("ingest", str(taken.name), f"{_line(taken)}; retrain: {ending.message}")
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
    """Let preset smoke train so many steps at such a rate, where it would only show that all works."""
    with ExitStack() as stack:
        for request in (finetuning_request, distillation_request):
            known: Any = request.PRESETS
            every = max(1, steps // 2)
            hard = replace(known[SMOKE], steps=steps, learning_rate=learning_rate, validate_every=every)
            stack.enter_context(patch.dict(known, {SMOKE: hard}))
        sizes = replace(retraining_presets.PRESETS[SMOKE], distill_steps=steps)
        # It measures what promote measures again, and decides nothing.
        stack.enter_context(
            patch.object(stages, "evaluate", lambda **_: Completed(message="left to promote"))
        )
        stack.enter_context(patch.dict(retraining_presets.PRESETS, {SMOKE: sizes}))
        yield


def ending_of(state: State[Any], ledger: Ledger) -> Ending:
    """Tell in which stage a retraining ended, and how."""
    line = _line(state)
    if not state.is_completed():
        stage = line.partition(":")[0]
        return Ending(stage if stage in STAGES else "retrain", str(state.name), line)
    decided = _decision(ledger.rows(STUDENT))
    if decided is None:
        return Ending("retrain", str(state.name), line)
    return Ending("promote", decided.decision.capitalize(), decided.reasons)


def gain(decided: Promotion | None) -> float | None:
    """Return the psnr_y of the challenger minus that of the champion; None where it was not measured."""
    gates = () if decided is None else decided.gates
    return next((round(0.0 - gate.loss, 3) for gate in gates if gate.name == "psnr_y"), None)


def _decision(rows: Sequence[Promotion]) -> Promotion | None:
    """Return the last row in which gates decided."""
    return next((row for row in reversed(rows) if row.decision in ("promoted", "refused")), None)


def _unselected(settings: Settings, ledger: Ledger) -> tuple[str, Promotion | None]:
    """Hand the last weights of the training to promote; return what came of it."""
    weights = last_weights(Path(settings.workspace))
    if weights is None:
        return "", None
    known = len(ledger.rows(STUDENT))
    state = promote(challenger=str(weights), return_state=True)
    rows = ledger.rows(STUDENT)[known:]
    return str(state.name), _decision(rows)


def last_weights(workspace: Path) -> Path | None:
    """Take the last weights out of a checkpoint, of the fine-tuning where there was one; None without any.

    A training that collapsed has no checkpoint, but the weights of its last validation but one.
    """
    for stage in ("finetune", "distill"):
        for folder in sorted(workspace.glob(f"{stage}/*")):
            checkpoint = folder / "checkpoint.pt"
            if checkpoint.exists():
                return _unpacked(checkpoint, workspace / "last.safetensors")
            trained = [path for path in folder.glob("student-*.safetensors") if path.is_file()]
            if trained:
                return trained[0]
    return None


def _unpacked(checkpoint: Path, path: Path) -> Path:
    loaded = torch.load(checkpoint, map_location="cpu", weights_only=True)
    network = build_network(preset(loaded["config"]["preset"]))
    network.load_state_dict(loaded["average"])
    write_model_file(pack(network.eval(), {}), path)
    return path


def uncommitted(workspace: str) -> int:
    """Count the groups of pixels that no row of a table names."""
    named = set(PseudoLabels(workspace).rows()["zarr_group"].drop_nulls())
    named |= set(Pool(workspace).crops()["zarr_group"])
    found = {f"{path.parent.name}/{path.name}" for path in Path(workspace).glob("p*/*.zarr")}
    return len(found - named)


def without_paths(message: str, workspace: Path) -> str:
    """Name things relative to the folder of the workspace."""
    return " ".join(message.replace(f"{workspace.parent}/", "").split())


def failures(row: PoolRow) -> list[str]:
    """Tell what is wrong with how a pool ended; nothing is, if it is the one that is not poisoned."""
    wrong = []
    if row.pool != CONTROL and (row.promotions or row.champion_before != row.champion_after):
        wrong.append(f"{row.pool}: made version {row.champion_after} champion")
    if UNFORESEEN in row.message:
        wrong.append(f"{row.pool}: {row.message}")
    if row.uncommitted:
        wrong.append(f"{row.pool}: {row.uncommitted} groups of pixels that no table names")
    return wrong


def main() -> None:
    """Measure every pool that is not in the table yet."""
    arguments = _parse()
    torch.set_num_threads(arguments.threads)
    course = _course(arguments)
    wrong: list[str] = []
    for name in arguments.pools:
        if _is_there(arguments.results, name, course):
            continue
        row = measure(course, name)
        print(row, flush=True)
        write_table([row], arguments.results, kept=rows_of(arguments.results, PoolRow))
        wrong += failures(row)
    if wrong:
        raise SystemExit("; ".join(wrong))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.poisoned_pools", description=(__doc__ or "").split("\n")[0]
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
    asked = (name, course.photographs, str(course.steps), str(course.learning_rate))
    columns = ("pool", "photographs", "steps", "learning_rate")
    return any(tuple(row[column] for column in columns) == asked for row in rows_of(results, PoolRow))


def _line(state: State[Any]) -> str:
    return " ".join((state.message or str(state.name)).split())


def _told(decibels: float | None) -> str:
    return "not measured" if decibels is None else f"{decibels:+.3f} dB"


if __name__ == "__main__":
    main()
