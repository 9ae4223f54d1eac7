"""Common parts of all training requests: presets, provenance of weights, and work folders."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from infra.git import commit
from infra.settings import Settings
from infra.storage.lease import check_workspace
from infra.storage.location import local_home
from models.errors import unknown_name
from models.modelfile import build
from models.networks.architectures import preset_name, presets
from models.training.config import TrainConfig
from tasks.refusals import PreflightFailed
from tasks.resolved_model import ResolvedModel, refuse_absent_device
from tasks.training.folder import TrainingFolder, folder_named, refuse_incomplete

Preset = TypeVar("Preset")
CONTINUED = TrainConfig(learning_rate=1e-4, warm_up=20, cool_down=1.0, finish=1.0, ema=0.99)
"""Settings for continuing a fully trained network: the learning rate decays from 1e-4 to 0 throughout, and the loss
on labelled rain is PSNR itself. With its original rate and loss, the network would get worse on light rain. Crops
are twice as large and a quarter as many as `batch` and `crop` specify (`models.training.batches.batch_of`)."""


def preset_named(presets: Mapping[str, Preset], name: str) -> Preset:
    """Return a preset.

    Raises
    ------
    PreflightFailed
        If there is no such preset; the message lists the existing ones.
    """
    if name not in presets:
        raise PreflightFailed(unknown_name("preset", name, presets))
    return presets[name]


def checked_config(
    settings: Settings, presets: Mapping[str, TrainConfig], name: str, steps: int | None, seed: int
) -> TrainConfig:
    """Check device and workspace, and return the hyper-parameters of a preset.

    Parameters
    ----------
    settings : Settings
        Device and workspace of the training.
    presets : mapping
        The existing presets by name.
    name : str
        Name of the preset.
    steps : int or None
        Replaces the number of steps of the preset.
    seed : int
        Seed of the training.

    Raises
    ------
    PreflightFailed
        Or another of `tasks.refusals.REFUSALS`: if the device is absent, there is no such preset, a number is
        outside its range, or the workspace cannot be used.
    """
    refuse_absent_device(settings)
    known = preset_named(presets, name)
    with as_preflight_failed():
        config = replace(known, steps=known.steps if steps is None else steps, seed=seed)
    check_workspace(settings.workspace)
    return replace(config, validate_every=min(config.validate_every, config.steps))


def refuse_incomplete_data(settings: Settings, data: str, preset: str) -> None:
    """Refuse an incomplete training folder without reading it; `smoke` needs none.

    Raises
    ------
    PreflightFailed
        The message names the folder.
    """
    if data or settings.training or preset != "smoke":
        refuse_incomplete(folder_named(settings, data, preset))


@contextmanager
def as_preflight_failed() -> Iterator[None]:
    """Refuse settings that a configuration refuses.

    Raises
    ------
    PreflightFailed
        Instead of a ValueError, with the same message.
    """
    try:
        yield
    except ValueError as error:
        raise PreflightFailed(str(error)) from error


def continued(config: TrainConfig) -> TrainConfig:
    """Return the same configuration for continuing a fully trained network."""
    return replace(
        config,
        learning_rate=CONTINUED.learning_rate,
        warm_up=CONTINUED.warm_up,
        cool_down=CONTINUED.cool_down,
        finish=CONTINUED.finish,
        ema=CONTINUED.ema,
    )


def preset_of(start: ResolvedModel, what: str) -> str:
    """Return the preset of the network from which a training starts.

    Raises
    ------
    PreflightFailed
        If it matches no preset, which checkpoints and work folders need.
    """
    name = preset_name(build(start.model_file).config)
    if name not in presets():
        raise PreflightFailed(
            f"{what} {start.label} matches no preset: take a network whose sizes are a preset's"
        )
    return name


def origin_tags(folder: TrainingFolder, start: ResolvedModel | None) -> dict[str, str]:
    """Return the provenance of weights for run and version: data, split, initial weights, code."""
    tags = {"data_digest": folder.digest, "split_digest": folder.split_digest}
    if start is not None:
        tags["start_digest"] = start.model_file.digest
    code = commit()
    return {**tags, "git_commit": code} if code else tags


def work_folder(settings: Settings, kind: str, identity: Mapping[str, object]) -> Path:
    """Return the folder of a training; equal requests share it, so that they are resumed."""
    digest = sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return local_home(settings.workspace) / kind / digest[:16]
