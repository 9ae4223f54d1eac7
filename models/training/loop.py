"""The training loop (`fit`): any network on clean photographs under rain, resumable bit for bit on a CPU."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor
from tqdm import tqdm

from models.evaluation.validation import Score, ValidationSet, before_after, render_validation, score_input
from models.interruption import deferred_ctrl_c
from models.modelfile import pack, write_model_file
from models.pairs import RainyPair
from models.rain.banks import load_training_data
from models.rain.recipes import RECIPES
from models.training.adaptive_shares import steered_shares
from models.training.batches import Batches
from models.training.config import TrainConfig
from models.training.divergence import require_finite
from models.training.objectives import Objective, Supervised
from models.training.recorders import CurveFile, Recorder
from models.training.schedules import cosine_rate, ema_decay
from models.training.state import State, begin, restore, update_average, write_checkpoint

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
                scores = validate(fabric, config, state, pairs, terms, out, all_recorders)
                progress.set_postfix_str(str(scores or ""))
                agree_on_validation(fabric, config, state, scores)
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
    if fabric.world_size == 1:
        # One of several that stopped here would leave the others waiting for its gradient.
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
) -> Score | None:
    """Score the averaged weights, notify the recorders, and keep the weights if they are the best so far.

    Only the first process does so, and only it returns the scores.
    """
    if not fabric.is_global_zero:
        return None
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
    return scores


def agree_on_validation(fabric: Fabric, config: TrainConfig, state: State, scores: Score | None) -> None:
    """Give all processes what the first one found in a validation, so that all stop if the training diverges."""
    overall = fabric.broadcast(scores.overall if scores else 0.0)
    state.best, state.shares = fabric.broadcast((state.best, state.shares))
    state.progress.look(state.step, overall, state.best, config.patience)


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
