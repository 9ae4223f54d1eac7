"""Refusal of a checkpoint or start that does not fit a training (`refuse_other_settings`, `refuse_unfit_start`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError
from types import MappingProxyType
from typing import Any

import torch

from models.errors import ModelError
from models.modelfile import build, read_model_file
from models.networks.architectures import build_network, preset
from models.networks.base import Network
from models.networks.growth import GrowthImpossible, grow
from models.training.config import TrainConfig

MAY_DIFFER = ("steps", "validate_every", "save_seconds", "compile", "patience")
"""Settings in which a resumed training may differ from its checkpoint."""
EARLIER = {"optimizer": "adamw", "adaptive_shares": False, "compile": False, "muon_rate": 0.01}
"""Values of settings that are missing in older checkpoints."""


class CheckpointMismatch(ModelError):
    """Raised if a checkpoint or start belongs to another training or network; the message says what differs."""


class CheckpointDamaged(ModelError):
    """Raised if a checkpoint cannot be read; the message names it and the way out."""


@contextmanager
def naming_damage(checkpoint: Path) -> Iterator[None]:
    """Name a checkpoint that PyTorch cannot read.

    Raises
    ------
    CheckpointDamaged
        Instead of the errors of unpickling.
    """
    try:
        yield
    except (RuntimeError, OSError, EOFError, UnpicklingError) as error:
        raise CheckpointDamaged(
            f"{checkpoint}: not a readable checkpoint ({type(error).__name__}); remove it to start again"
        ) from error


def initial_network(config: TrainConfig) -> Network:
    """Build a network with new weights, or grown from the network of the file `config.init`.

    Raises
    ------
    ModelFileInvalid
        If that file cannot be used.
    CheckpointMismatch
        If the preset cannot grow from the network of that file.
    """
    network = build_network(preset(config.preset))
    if config.init:
        start = build(read_model_file(Path(config.init)), name=config.init)
        try:
            grow(network, start)
        except GrowthImpossible as error:
            raise CheckpointMismatch(f"{config.preset} cannot begin from {config.init}: {error}") from error
    return network


def refuse_unfit_start(
    config: TrainConfig, checkpoint: Path, facts: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Refuse initial weights or a checkpoint that do not fit, before anything else is read.

    Parameters
    ----------
    config : TrainConfig
        Hyper-parameters of the training.
    checkpoint : Path
        Checkpoint that it will resume, if there is one.
    facts : mapping
        Facts of its objective.

    Raises
    ------
    ModelFileInvalid, CheckpointMismatch, CheckpointDamaged
        With a message of one line.
    """
    initial_network(config)
    if checkpoint.exists():
        with naming_damage(checkpoint):
            stored = torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=True)
        refuse_other_settings(config, facts, stored.get("processes", 1), stored, checkpoint)


def refuse_other_settings(
    config: TrainConfig, facts: Mapping[str, Any], processes: int, stored: Mapping[str, Any], path: Path
) -> None:
    """Refuse a checkpoint of another training.

    Parameters
    ----------
    config : TrainConfig
        Hyper-parameters of this training.
    facts : mapping
        Facts of its objective.
    processes : int
        Number of its processes.
    stored : mapping
        The checkpoint.
    path : Path
        File of the checkpoint, for the message.

    Raises
    ------
    CheckpointMismatch
        If anything but `MAY_DIFFER` differs; the message names both values.
    """
    here = {name: value for name, value in asdict(config).items() if name not in MAY_DIFFER}
    there = {name: stored["config"].get(name, EARLIER.get(name)) for name in here}
    different = {f"--{name.replace('_', '-')}": both for name, both in _different(here, there).items()}
    different |= _different(_leaves(facts), _leaves(stored.get("facts", {})))
    if stored.get("processes", processes) != processes:  # each draws its own samples
        different["processes"] = (processes, stored["processes"])
    _refuse(different, path)


def _different(here: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = dict.fromkeys([*here, *there])
    both = {name: (_given(here.get(name)), _given(there.get(name))) for name in names}
    return {name: values for name, values in both.items() if values[0] != values[1]}


def _leaves(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts by name, and those of groups by their own names."""
    groups = (value if isinstance(value, Mapping) else {name: value} for name, value in facts.items())
    return {name: value for group in groups for name, value in group.items()}


def _refuse(different: Mapping[str, tuple[Any, Any]], path: Path) -> None:
    if different:
        words = ", ".join(
            f"{name} is {_shown(here)} here and {_shown(there)} in {path}"
            for name, (here, there) in different.items()
        )
        raise CheckpointMismatch(f"{words}: use the same settings, or another --out")


def _given(value: Any) -> Any:
    """Return a value, or None for one that is empty or, as in checkpoints of earlier versions, missing."""
    return None if value == "" else value


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)
