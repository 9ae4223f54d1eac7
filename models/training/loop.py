"""Train any network on clean photographs under recorded, rendered and procedural rain.

    python -m models.train --preset student-base --data DATA --out checkpoints/student-base

`DATA` contains `clean/`, `streaks/` with `streaks.csv`, and `garg/` (see `models.rain.banks`). After an
interruption, the same command resumes from the last checkpoint, bit for bit on a CPU. The best weights on the
validation split are in `<out>/<preset>.safetensors`, the curve in `<out>/curve.csv`. Several devices: `--devices
8`; several machines: `--nodes 2` under Fabric's launcher (`fabric run --num-nodes 2 ... models/training/loop.py`).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from docstring_parser import parse_from_object
from lightning_fabric import Fabric
from torch import Tensor
from tqdm import tqdm

from models.engine import choose_device
from models.errors import ModelError
from models.evaluation.validation import ValidationSet, before_after, render_validation, score_input
from models.interruption import deferred_ctrl_c
from models.modelfile import pack, write_model_file
from models.networks.architectures import presets
from models.pairs import RainyPair
from models.rain.banks import contents_of, load_training_data
from models.rain.recipes import RECIPES
from models.training.adaptive_shares import steered_shares
from models.training.batches import Batches
from models.training.config import TrainConfig
from models.training.divergence import require_finite
from models.training.fabric import launch_fabric
from models.training.objectives import Objective, Supervised
from models.training.recorders import CurveFile, Recorder
from models.training.same_settings import refuse_unfit_start
from models.training.schedules import cosine_rate, ema_decay
from models.training.state import State, begin, restore, update_average, write_checkpoint

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")
COMPILED_FROM = 5_000
"""Number of steps from which the command compiles by default: compiling then saves several times its own time."""
DECIDED_EVERY = 10
"""Number of steps after which several processes ask the first one whether a checkpoint is due."""


def fit(
    fabric: Fabric,
    config: TrainConfig,
    data: Path,
    out: Path,
    recorders: Sequence[Recorder] = (),
    objective: Objective | None = None,
) -> State:
    """Train to the last step, from the last checkpoint if there is one; refuse an unfit one before data is read.

    Parameters
    ----------
    fabric : Fabric
        Launched; provides devices, precision and processes.
    config : TrainConfig
        Hyper-parameters.
    data : Path
        Folder that `models.rain.banks.load_training_data` reads.
    out : Path
        Folder for checkpoint, curve and best weights.
    recorders : sequence of Recorder
        Recorders of every validation; the curve in `out` is always written.
    objective : Objective, optional
        Loss to minimise; by default, the network's own loss on labelled pairs.

    Raises
    ------
    Diverged
        If the loss is not finite or the validation score keeps falling; the best weights are in `out`.
    KeyboardInterrupt
        After Ctrl-C, once the step in progress is done and a checkpoint written; several processes stop immediately
        and resume from their last checkpoint.
    """
    state = begin(fabric, config, objective or Supervised())
    if (out / "checkpoint.pt").exists():
        restore(fabric, config, state, out / "checkpoint.pt")
    training = load_training_data(data, held_out=False).to(fabric.device)
    pairs = render_validation(
        load_training_data(data, held_out=True).to(fabric.device), config.validation_photographs
    )
    all_recorders = [CurveFile(out / "curve.csv"), *recorders]
    saved = time.monotonic()
    with (
        deferred_ctrl_c(fabric.world_size == 1) as is_interrupted,
        Batches(fabric, config, training) as batches,
        tqdm(
            initial=state.step, total=config.steps, desc=config.preset, mininterval=5, smoothing=0.02
        ) as progress,
    ):
        while state.step < config.steps:
            terms = step(fabric, config, state, batches.take(state.step, state.shares))
            progress.update()
            if state.step % config.validate_every == 0 or state.step == config.steps:
                progress.set_postfix_str(validate(fabric, config, state, pairs, terms, out, all_recorders))
                state.shares = fabric.broadcast(state.shares)
            stops = is_interrupted()  # asked once: Ctrl-C after it waits for the next step
            if stops or is_checkpoint_due(fabric, config, state.step, time.monotonic() - saved):
                save(fabric, config, state, out)
                saved = time.monotonic()
            if stops:
                raise KeyboardInterrupt
    return state


def step(fabric: Fabric, config: TrainConfig, state: State, pair: RainyPair) -> dict[str, Tensor]:
    """Take one optimiser step; return the terms of the loss."""
    for group in state.optimizer.param_groups:
        group["lr"] = cosine_rate(group["peak"], state.step, config.steps, config.warm_up, config.cool_down)
    with fabric.autocast():  # Fabric itself enters it in distributed runs only
        terms = state.objective(state.network, config, state.step, pair)
    require_finite(state.step + 1, terms)
    fabric.backward(torch.stack(list(terms.values())).sum())
    if fabric.world_size > 1:
        share_gradients(fabric, state.objective)
    norm = fabric.clip_gradients(
        state.network, state.optimizer, max_norm=config.clip, error_if_nonfinite=False
    )
    if norm is not None:
        require_finite(state.step + 1, {"gradient": norm})
    state.optimizer.step()
    state.optimizer.zero_grad()
    update_average(state, ema_decay(config.ema, state.step))
    state.step += 1
    return {name: term.detach() for name, term in terms.items()}


def share_gradients(fabric: Fabric, objective: Objective) -> None:
    """Average the gradients of an objective's parameters over all processes, as Fabric does for a network's."""
    for parameter in objective.trainable_parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        parameter.grad = cast(Tensor, fabric.all_reduce(gradient, reduce_op="mean"))


def validate(
    fabric: Fabric,
    config: TrainConfig,
    state: State,
    pairs: ValidationSet,
    terms: Mapping[str, Tensor],
    out: Path,
    recorders: Sequence[Recorder],
) -> str:
    """Score the averaged weights, notify the recorders, and keep the weights if they are the best so far."""
    if not fabric.is_global_zero:
        return ""
    with fabric.autocast():
        scores = state.objective.score(state.average, pairs)
        pictures = before_after(state.average, pairs) if len(recorders) > 1 else {}
    if scores.overall > state.best:
        state.best = scores.overall
        facts = {"train": asdict(config), **state.objective.facts, "step": state.step}
        facts["validation_psnr_y"] = asdict(scores)
        write_model_file(pack(state.average, facts, name=config.preset), out / f"{config.preset}.safetensors")
    losses = {f"loss_{name}": float(term) for name, term in terms.items()}
    for recorder in recorders:
        recorder.scalars(state.step, {**losses, **asdict(scores)})
        for name, picture in pictures.items():
            recorder.picture(state.step, name, picture)
    if config.adaptive_shares:
        before, after = asdict(score_input(pairs)), asdict(scores)
        leads = {kind: after[kind] - before[kind] for kind in before}
        state.shares = steered_shares(RECIPES[config.recipe], leads)
    state.progress.look(state.step, scores.overall, state.best, config.patience)
    return str(scores)


def is_checkpoint_due(fabric: Fabric, config: TrainConfig, step: int, seconds: float) -> bool:
    """Return whether to write a checkpoint after a step, this many seconds after the last one.

    Among several processes the first one decides, because all write together. All wait for its answer, so it is
    asked only now and then.
    """
    if step == config.steps:
        return True
    if fabric.world_size == 1:
        return seconds > config.save_seconds
    return step % DECIDED_EVERY == 0 and fabric.broadcast(seconds > config.save_seconds)


def save(fabric: Fabric, config: TrainConfig, state: State, out: Path) -> None:
    """Write the checkpoint from which the next run resumes."""
    write_checkpoint(fabric, config, state, out / "checkpoint.pt")


def options(description: str | None, prog: str) -> argparse.ArgumentParser:
    """Build a parser for the options of every training command."""
    names = f"Presets: {', '.join(presets())}. Recipes: {', '.join(RECIPES)}."
    parser = argparse.ArgumentParser(prog=prog, description=(description or "").split("\n")[0], epilog=names)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with clean/, streaks/, streaks.csv, garg/"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, curve, best weights")
    parser.add_argument(
        "--threads", type=int, default=None, help="CPU threads per process; default: all cores"
    )
    parser.add_argument(
        "--devices", default="auto", help="number of devices of this machine; default: all GPUs, or one CPU"
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="kind of device; default: GPUs if there are any",
    )
    parser.add_argument("--nodes", type=int, default=1, help="number of machines; default: 1")
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="compile the steps with torch.compile if there is a compiler: faster after about a minute;"
        f" default: on for {COMPILED_FROM:,} steps or more",
    )
    add_fields(parser, TrainConfig(), but="compile")
    return parser


def add_fields(parser: argparse._ActionsContainer, defaults: Any, but: str = "") -> None:
    """Add an option for every field of a dataclass except `but`, with the field's docstring as help."""
    described = {each.arg_name: each.description for each in parse_from_object(type(defaults)).params}
    for field in (field for field in fields(defaults) if field.name != but):
        value, text = getattr(defaults, field.name), " ".join((described[field.name] or "").split())
        option, shown = f"--{field.name.replace('_', '-')}", text[:1].lower() + text[1:].rstrip(".")
        if isinstance(value, bool):
            switched = "on" if value else "off"
            parser.add_argument(
                option,
                action=argparse.BooleanOptionalAction,
                default=value,
                help=f"{shown}; default: {switched}",
            )
        else:
            given = "none" if value == "" else value
            parser.add_argument(option, type=type(value), default=value, help=f"{shown}; default: {given}")


def fields_of(defaults: Config, arguments: argparse.Namespace) -> Config:
    """Return a dataclass with the values of the command line."""
    return replace(defaults, **{field.name: getattr(arguments, field.name) for field in fields(defaults)})


def train_config(arguments: argparse.Namespace) -> TrainConfig:
    """Return the hyper-parameters of the command line; long trainings are compiled by default."""
    if arguments.compile is None:
        arguments.compile = arguments.steps >= COMPILED_FROM
    return fields_of(TrainConfig(), arguments)


def launched(arguments: argparse.Namespace, precision: str) -> Fabric:
    """Create the output folder, start Fabric on the devices of the command line, and describe the data."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    automatic = arguments.devices == "auto"
    kind = choose_device(arguments.device).type
    available = torch.cuda.device_count() if kind == "cuda" else 1
    count = available if automatic else int(arguments.devices)
    torch.backends.cudnn.benchmark = kind == "cuda"  # crops are of two sizes
    fabric = launch_fabric(kind, precision, count, arguments.nodes)
    fabric.print(f"reading {contents_of(arguments.data)}", flush=True)
    return fabric


Watch = Callable[[TrainConfig, Path], AbstractContextManager[Recorder]]
"""Opens a recorder for a training in a folder."""


def main(watch: Watch | None = None) -> None:
    """Parse the command line and train, with another recorder if `watch` is given."""
    arguments = options(__doc__, "python -m models.train").parse_args()
    try:
        config = train_config(arguments)
        refuse_unfit_start(config, arguments.out / "checkpoint.pt")
        fabric = launched(arguments, config.precision)
        with ExitStack() as stack:
            recorders = []
            if watch is not None and fabric.is_global_zero:
                recorders.append(stack.enter_context(watch(config, arguments.out)))
            fit(fabric, config, arguments.data, arguments.out, recorders)
        fabric.print(f"best weights: {arguments.out / config.preset}.safetensors", flush=True)
    except (ValueError, OSError, ModelError) as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
