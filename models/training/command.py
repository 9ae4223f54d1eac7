"""Train any network on clean photographs under recorded, rendered and procedural rain.

    python -m models.train --preset student-base --data DATA --out checkpoints/student-base

`DATA` contains `clean/`, `streaks/` with `streaks.csv`, and `garg/` (see `models.rain.banks`). After an
interruption, the same command resumes from the last checkpoint, bit for bit on a CPU. The best weights on the
validation split are in `<out>/<preset>.safetensors`, the curve in `<out>/curve.csv`. Several devices: `--devices
8`; several machines: `--nodes 2` under Fabric's launcher (`fabric run --num-nodes 2 ...
models/training/command.py`).
Distillation shares the options (`options`) and the start (`launched`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from docstring_parser import parse_from_object
from lightning_fabric import Fabric

from models.engine import choose_device
from models.errors import ModelError
from models.networks.architectures import presets
from models.rain.banks import contents_of
from models.rain.recipes import RECIPES
from models.training.config import TrainConfig
from models.training.fabric import launch_fabric
from models.training.loop import fit
from models.training.recorders import Recorder
from models.training.same_settings import refuse_unfit_start

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")
COMPILED_FROM = 5_000
"""Number of steps from which the command compiles by default: compiling then saves several times its own time."""


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
    arguments = options(
        "Train any network on clean photographs under recorded, rendered and procedural rain.",
        "python -m models.train",
    ).parse_args()
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
