"""The complete state of a training (`State`), and checkpoints for an exact resume."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from models.evaluation.validation import REVISION
from models.networks.base import Network
from models.training.compilation import compile_network
from models.training.config import TrainConfig
from models.training.divergence import Progress
from models.training.muon import Muon, split_kernels
from models.training.objectives import Objective
from models.training.same_settings import initial_network, naming_damage, refuse_other_settings

WEIGHT_DECAY = 1e-5


@dataclass(slots=True)
class State:
    """Everything that changes during training, and therefore everything that a checkpoint holds."""

    network: Any
    """The network, wrapped by Fabric."""
    average: Network
    """Exponential moving average of its weights, which is validated and shipped."""
    optimizer: Any
    objective: Objective
    """The objective; not wrapped by Fabric, which would search its arguments for tensors."""
    step: int = 0
    best: float = float("-inf")
    """Overall validation score of the best average so far, dB."""
    progress: Progress = field(default_factory=Progress)
    shares: dict[str, float] = field(default_factory=dict)
    """Shares that replace those of the recipe since the last validation."""


def begin(fabric: Fabric, config: TrainConfig, objective: Objective) -> State:
    """Build the state of step 0; see `initial_network` for its weights and errors."""
    fabric.seed_everything(config.seed, verbose=False)
    network = initial_network(config)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = optimizer_of(config, network, objective)
    average = copy.deepcopy(network).to(fabric.device).requires_grad_(False)
    if config.compile:
        compile_network(network)
    wrapped = fabric.setup_module(network)
    for method in ("loss_terms", "features"):
        wrapped.mark_forward_method(method)
    return State(wrapped, average.eval(), fabric.setup_optimizers(optimizer), objective.to(fabric.device))


def optimizer_of(config: TrainConfig, network: Network, objective: Objective) -> torch.optim.Optimizer:
    """Build the optimiser of a network and its objective; each group records its peak rate."""
    if config.by_muon:
        kernels, others = split_kernels(network)
        rates = (config.muon_rate, config.learning_rate)
        optimizer: torch.optim.Optimizer = Muon(
            kernels, [*others, *objective.trainable_parameters()], *rates, WEIGHT_DECAY
        )
    else:
        parameters = [*network.parameters(), *objective.trainable_parameters()]
        optimizer = torch.optim.AdamW(
            parameters, lr=config.learning_rate, weight_decay=WEIGHT_DECAY, fused=True
        )
    for group in optimizer.param_groups:
        group["peak"] = group["lr"]
    return optimizer


def restore(fabric: Fabric, config: TrainConfig, state: State, path: Path) -> None:
    """Restore a state from a checkpoint.

    Raises
    ------
    CheckpointMismatch
        If the checkpoint was written with other hyper-parameters (except those of `MAY_DIFFER`), another objective
        or another number of processes.
    CheckpointDamaged
        If it cannot be read.
    """
    with naming_damage(path):
        loaded = fabric.load(path, weights_only=True)
    refuse_other_settings(config, state.objective.facts, fabric.world_size, loaded, path)
    for part in ("network", "average", "optimizer", "objective"):
        getattr(state, part).load_state_dict(loaded[part])
    for group in state.optimizer.param_groups:
        group.setdefault("peak", config.learning_rate)  # older checkpoints have one rate
    state.step = loaded["step"]
    # The best score on another validation set would never be reached, or at once.
    if loaded.get("validation") == REVISION:
        state.best = loaded["best"]
        state.progress.load_state_dict(loaded["progress"])
        state.shares = loaded["shares"]


def write_checkpoint(fabric: Fabric, config: TrainConfig, state: State, path: Path) -> None:
    """Write a checkpoint atomically."""
    partial = path.with_name(path.name + ".partial")
    parts = {part.name: getattr(state, part.name) for part in fields(state)}
    parts["progress"] = state.progress.state_dict()
    facts = {
        "facts": state.objective.facts,
        "processes": fabric.world_size,
        "validation": REVISION,
    }
    fabric.save(partial, {**parts, **facts, "config": asdict(config)})
    if fabric.is_global_zero:
        partial.replace(path)


@torch.no_grad()
def update_average(state: State, decay: float) -> None:
    """Move the average towards the network's weights; copy the statistics of norms."""
    current = [parameter.detach() for parameter in state.network.parameters()]
    torch._foreach_lerp_(list(state.average.parameters()), current, 1 - decay)
    for averaged, current_buffer in zip(state.average.buffers(), state.network.buffers(), strict=True):
        averaged.copy_(current_buffer)
