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
from models.errors import unknown_name
from models.modelfile import build
from models.networks.architectures import preset_name, presets
from models.training.config import TrainConfig
from tasks.media.samples import local_home
from tasks.refusals import PreflightFailed
from tasks.resolved_model import ResolvedModel
from tasks.training.folder import TrainingFolder

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


def train_config(presets: Mapping[str, TrainConfig], name: str, steps: int | None, seed: int) -> TrainConfig:
    """Return the hyper-parameters of a preset; `steps`, if given, replaces its number of steps.

    Raises
    ------
    PreflightFailed
        If there is no such preset, or a number is outside its range.
    """
    known = preset_named(presets, name)
    with as_preflight_failed():
        config = replace(known, steps=known.steps if steps is None else steps, seed=seed)
    return replace(config, validate_every=min(config.validate_every, config.steps))


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
