"""Train a student on clean photographs under recorded, rendered and procedural rain.

    python -m models.train --data DATA --out checkpoints/base --steps 40000

`DATA` holds `clean/`, `streaks/` with `streaks.csv`, and `garg/` (see `models.banks`). Interrupted, the same
command goes on from the last checkpoint, bit for bit on a CPU. The best student on the validation split lies
in `<out>/student.safetensors`, the curve in `<out>/curve.csv`.
"""

from __future__ import annotations

import argparse
import copy
import csv
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from tqdm import tqdm

from models.banks import TrainingData, load_training_data
from models.draws import Draws
from models.modelfile import pack, write_model_file
from models.pairs import RainyPair
from models.rain import training_pairs
from models.recipes import RECIPES
from models.student import PRESETS, Student
from models.validation import ValidationScore, ValidationSet, render_validation, validate


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Hyper-parameters of one training."""

    preset: str = "base"
    recipe: str = "mixed"
    steps: int = 40_000
    batch: int = 16
    crop: int = 128
    learning_rate: float = 1e-3
    warm_up: int = 500
    cool_down: float = 0.3
    """Last share of the steps, in which the learning rate falls to 0 along a cosine."""
    ema: float = 0.999
    clip: float = 0.5
    """Gradients are clipped to this norm."""
    seed: int = 1
    validate_every: int = 1000
    validation_photographs: int = 20
    save_seconds: float = 120.0
    precision: str = "bf16-mixed"


@dataclass(slots=True)
class State:
    """All that changes while training, and so all that a checkpoint holds."""

    student: Any
    """The network, wrapped by Fabric."""
    average: Student
    """Exponential moving average of its weights: what is validated and shipped."""
    optimizer: Any
    step: int = 0
    best: float = float("-inf")


def learning_rate(config: TrainConfig, step: int) -> float:
    """Warm up linearly, stay, then fall to 0 along half a cosine over the last `cool_down` of the steps."""
    warm = min(1.0, (step + 1) / config.warm_up)
    start = config.steps * (1 - config.cool_down)
    progress = max(0.0, (step - start) / max(config.steps - start, 1))
    return config.learning_rate * warm * 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * progress))))


def ema_decay(config: TrainConfig, step: int) -> float:
    """Short memory first: min(ema, (1 + t) / (10 + t))."""
    return min(config.ema, (1 + step) / (10 + step))


def batch_of(data: TrainingData, config: TrainConfig, step: int, rank: int, world: int) -> RainyPair:
    """Render the batch of one step and rank; the same whenever it is asked for."""
    first = (step * world + rank) * config.batch
    samples = torch.arange(first, first + config.batch, device=data.photographs.pixels.device)
    return training_pairs(data, Draws(config.seed, samples), RECIPES[config.recipe], config.crop)


def fit(fabric: Fabric, config: TrainConfig, data: Path, out: Path) -> State:
    """Train to the last step, from the last checkpoint if there is one."""
    training = load_training_data(data, held_out=False).to(fabric.device)
    held_out = load_training_data(data, held_out=True).to(fabric.device)
    pairs = render_validation(held_out, config.validation_photographs)
    state = resume(fabric, config, out)
    saved = time.monotonic()
    with tqdm(
        initial=state.step, total=config.steps, desc="train", mininterval=5, smoothing=0.02
    ) as progress:
        while state.step < config.steps:
            pair = batch_of(training, config, state.step, fabric.global_rank, fabric.world_size)
            loss = step(fabric, config, state, pair)
            progress.update()
            if state.step % config.validate_every == 0 or state.step == config.steps:
                progress.set_postfix_str(select(fabric, config, state, pairs, float(loss), out))
            if time.monotonic() - saved > config.save_seconds or state.step == config.steps:
                save(fabric, config, state, out)
                saved = time.monotonic()
    return state


def step(fabric: Fabric, config: TrainConfig, state: State, pair: RainyPair) -> Tensor:
    """Take one optimiser step and return the loss."""
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(config, state.step)
    with fabric.autocast():  # Fabric enters it by itself in distributed runs only
        loss = torch.stack(list(state.student.loss_terms(pair).values())).sum()
    fabric.backward(loss)
    fabric.clip_gradients(state.student, state.optimizer, max_norm=config.clip)
    state.optimizer.step()
    state.optimizer.zero_grad()
    _update_average(state, ema_decay(config, state.step))
    state.step += 1
    return loss.detach()


def select(
    fabric: Fabric, config: TrainConfig, state: State, pairs: ValidationSet, loss: float, out: Path
) -> str:
    """Validate the averaged weights, add a row to the curve, and keep them if they are the best so far."""
    if not fabric.is_global_zero:
        return ""
    with fabric.autocast():
        score = validate(state.average, pairs)
    if score.overall > state.best:
        state.best = score.overall
        facts = {"train": asdict(config), "step": state.step, "validation_psnr_y": asdict(score)}
        write_model_file(pack(state.average, facts), out / "student.safetensors")
    _append_curve(out / "curve.csv", {"step": state.step, "loss": round(loss, 5), **_rounded(score)})
    return f"loss {loss:.4f}, {score}"


def save(fabric: Fabric, config: TrainConfig, state: State, out: Path) -> None:
    """Write a checkpoint, whole or not at all."""
    partial = out / "checkpoint.pt.partial"
    parts = {part.name: getattr(state, part.name) for part in fields(state)}
    fabric.save(partial, {**parts, "config": asdict(config)})
    if fabric.is_global_zero:
        partial.replace(out / "checkpoint.pt")


def resume(fabric: Fabric, config: TrainConfig, out: Path) -> State:
    """Build the state of step 0, or that of the checkpoint in `out`.

    Raises
    ------
    SystemExit
        If the checkpoint was made with other hyper-parameters than these; only `steps` may differ.
    """
    fabric.seed_everything(config.seed, verbose=False)
    student = Student(PRESETS[config.preset]).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        student.parameters(), lr=config.learning_rate, weight_decay=1e-5, fused=True
    )
    average = copy.deepcopy(student).to(fabric.device).requires_grad_(False)
    model, wrapped_optimizer = fabric.setup(student, optimizer)
    model.mark_forward_method("loss_terms")
    state = State(model, average, wrapped_optimizer)
    if (out / "checkpoint.pt").exists():
        _restore(fabric, config, state, out / "checkpoint.pt")
    return state


def _restore(fabric: Fabric, config: TrainConfig, state: State, path: Path) -> None:
    loaded = fabric.load(path, weights_only=True)
    differing = {
        key: value
        for key, value in asdict(config).items()
        if key != "steps" and loaded["config"].get(key) != value
    }
    if differing:
        raise SystemExit(
            f"{path} was trained with other settings than {differing}: give another --out, or the same"
        )
    for part in ("student", "average", "optimizer"):
        getattr(state, part).load_state_dict(loaded[part])
    state.step, state.best = loaded["step"], loaded["best"]


@torch.no_grad()
def _update_average(state: State, decay: float) -> None:
    current = [parameter.detach() for parameter in state.student.parameters()]
    torch._foreach_lerp_(list(state.average.parameters()), current, 1 - decay)


def _rounded(score: ValidationScore) -> dict[str, float]:
    return {name: round(value, 3) for name, value in asdict(score).items()}


def _append_curve(path: Path, row: dict[str, float]) -> None:
    """Add a row in place of what a run that was killed before its checkpoint left of this step and later."""
    rows: list[dict[str, Any]] = []
    if path.exists():
        with path.open(newline="") as lines:
            rows = [earlier for earlier in csv.DictReader(lines) if int(earlier["step"]) < row["step"]]
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, list(row))
        writer.writeheader()
        writer.writerows([*rows, row])
    partial.replace(path)


def _parse() -> tuple[TrainConfig, argparse.Namespace]:
    parser = argparse.ArgumentParser(
        prog="python -m models.train", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with clean/, streaks/, streaks.csv, garg/"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for checkpoint, curve and best student"
    )
    parser.add_argument("--threads", type=int, default=None, help="CPU threads; default: all cores")
    defaults = TrainConfig()
    for field in fields(TrainConfig):
        value = getattr(defaults, field.name)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(value), default=value)
    arguments = parser.parse_args()
    return TrainConfig(
        **{field.name: getattr(arguments, field.name) for field in fields(TrainConfig)}
    ), arguments


def main() -> None:
    """Parse the command line and train."""
    config, arguments = _parse()
    if config.preset not in PRESETS or config.recipe not in RECIPES:
        raise SystemExit(f"presets are {', '.join(PRESETS)}; recipes are {', '.join(RECIPES)}")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    fabric = Fabric(accelerator="auto", devices="auto", precision=config.precision)  # type: ignore[arg-type]
    fabric.launch()
    fit(fabric, config, arguments.data, arguments.out)


if __name__ == "__main__":
    main()
