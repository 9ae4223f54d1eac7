"""The request of a fine-tuning, and its checks (`prepare_finetuning`) before anything is changed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from infra.settings import Settings
from models.rain.streak_mining import StreakBankEmpty
from models.shipped import WEIGHTS
from models.training.config import TrainConfig
from models.training.semi.config import SemiConfig
from models.training.semi.data import RealRain
from tasks.refusals import PreflightFailed
from tasks.resolved_model import ResolvedModel, resolve_model
from tasks.training.finetuning_material import harvested, material_at
from tasks.training.folder import TrainingFolder, folder_named, inspected
from tasks.training.request import (
    CONTINUED,
    as_preflight_failed,
    checked_config,
    origin_tags,
    preset_of,
    refuse_incomplete_data,
    work_folder,
)
from tasks.training.samples import make_training_samples
from tasks.training.unlabelled import refuse_absent

PRESETS = {
    "smoke": replace(
        CONTINUED,
        preset="drd-net-slim",
        steps=20,
        batch=8,
        crop=24,
        validate_every=10,
        validation_photographs=2,
        save_seconds=5.0,
        precision="32-true",
    ),
    "slim": replace(CONTINUED, preset="drd-net-slim", steps=2000, batch=16, crop=96, validate_every=200),
    "mid": replace(CONTINUED, preset="drd-net-mid", steps=20_000, ema=0.999),
    "paper": replace(CONTINUED, preset="drd-net-paper", steps=60_000, batch=32, crop=56, ema=0.999),
}
"""Presets of a fine-tuning: `smoke` shows in minutes that everything works, `slim` is for a CPU, the others for a
GPU. Half of the crops per batch are re-rained."""
STARTS = {"drd-net-slim": WEIGHTS / "drd-net-slim.safetensors"}
"""Shipped weights, by preset of the network."""


@dataclass(frozen=True, slots=True)
class FinetuneRequest:
    """Parameters of the flow, as given."""

    preset: str = "smoke"
    model: str = ""
    data: str = ""
    unlabelled: str = ""
    steps: int | None = None
    seed: int = 1


@dataclass(frozen=True, slots=True)
class PreparedFinetuning:
    """A checked fine-tuning that is ready to start."""

    config: TrainConfig
    semi: SemiConfig
    start: ResolvedModel
    folder: TrainingFolder
    rain: RealRain
    work: Path
    """Folder of checkpoint, curve and weights; equal requests share it, so that they are resumed."""
    streaks: str
    """Numbers of windows that were searched for streaks, accepted and refused, in words."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Everything that the training depends on, by name, for the tracked run."""
        return {
            **asdict(self.config),
            **{f"semi_{name}": value for name, value in asdict(self.semi).items()},
            "start": self.start.label,
            **self.tags,
            "streaks": self.streaks,
        }

    @property
    def tags(self) -> dict[str, str]:
        """Provenance for run and version: data, real rain, initial weights, code."""
        return {**origin_tags(self.folder, self.start), "real_rain_digest": self.rain.digest}


def refuse_at_once(settings: Settings, request: FinetuneRequest) -> None:
    """Make those checks of `prepare_finetuning` that take seconds.

    Raises
    ------
    PreflightFailed
        Or another of `tasks.refusals.REFUSALS`, with a message of one line.
    """
    train = checked_config(settings, PRESETS, request.preset, request.steps, request.seed)
    start_of(settings, request.model, train.preset)
    refuse_incomplete_data(settings, request.data, request.preset)
    if request.preset != "smoke" and not request.unlabelled:
        raise _no_photographs(request.preset)
    refuse_absent(settings, request.unlabelled)


def prepare_finetuning(settings: Settings, request: FinetuneRequest, semi: SemiConfig) -> PreparedFinetuning:
    """Check everything that a fine-tuning needs; search photographs for streaks unless they were curated.

    Raises
    ------
    PreflightFailed
        Or another of `tasks.refusals.REFUSALS`, with a message of one line.
    """
    train = checked_config(settings, PRESETS, request.preset, request.steps, request.seed)
    start = start_of(settings, request.model, train.preset)
    train = replace(train, preset=preset_of(start, "model"))
    data, unlabelled = _places(settings, request)
    folder = inspected(data)
    rain, streaks = _rain(settings, unlabelled, semi, start)
    work = work_folder(settings, "finetune", _identity(train, semi, start, folder, rain))
    train = replace(train, init=str(work / "start.safetensors"))
    return PreparedFinetuning(train, semi, start, folder, rain, work, streaks)


def semi_config(**weights: float) -> SemiConfig:
    """Return a configuration with these weights of its terms.

    Raises
    ------
    PreflightFailed
        If one is invalid; the message names it.
    """
    with as_preflight_failed():
        return SemiConfig(**weights)  # type: ignore[arg-type]


def start_of(settings: Settings, model: str, preset: str) -> ResolvedModel:
    """Return the model from which a training of a network preset starts: the named one, or the shipped one.

    Raises
    ------
    PreflightFailed
        If none is named and none is shipped; or another of `tasks.refusals.REFUSALS`.
    """
    if model:
        return resolve_model(settings, model)
    if preset not in STARTS:
        raise PreflightFailed(
            f"no trained {preset} ships with the package: name initial weights with --model"
        )
    return resolve_model(settings, str(STARTS[preset]))


class NoRealRain(PreflightFailed):
    """Raised if the unlabelled photographs show no rain to learn from; others may."""


def _places(settings: Settings, request: FinetuneRequest) -> tuple[Path, str]:
    """Return the labelled data and unlabelled photographs that the request names, or generated ones for `smoke`."""
    data, unlabelled = request.data or settings.training or "", request.unlabelled
    if request.preset == "smoke" and not (data and unlabelled):
        generated = make_training_samples(settings.workspace)
        data, unlabelled = data or str(generated[0]), unlabelled or str(generated[1])
    folder = folder_named(settings, data, request.preset)
    if not unlabelled:
        raise _no_photographs(request.preset)
    return folder, unlabelled


def _no_photographs(preset: str) -> PreflightFailed:
    return PreflightFailed(
        f"no unlabelled photographs for preset {preset}: give --unlabelled: pool, or a folder or bucket"
        " prefix of rainy photographs"
    )


def _rain(
    settings: Settings, unlabelled: str, semi: SemiConfig, start: ResolvedModel
) -> tuple[RealRain, str]:
    """Collect real rain; for the pool, curation has already cut the streaks."""
    try:
        material = material_at(settings, unlabelled, semi)
        streaks = material.streaks or harvested(start.model_file, material.photographs, settings.device)
    except (FileNotFoundError, StreakBankEmpty) as error:
        raise NoRealRain(str(error)) from error
    return material.real_rain(streaks), streaks.description


def _identity(
    train: TrainConfig, semi: SemiConfig, start: ResolvedModel, folder: TrainingFolder, rain: RealRain
) -> dict[str, object]:
    """Return the values that identify a work folder."""
    return {
        "train": asdict(train),
        "semi": asdict(semi),
        "start": start.model_file.digest,
        "data": folder.digest,
        "rain": rain.digest,
    }
