"""What a fine-tuning is asked for, looked at in full before anything is changed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from infra.settings import Settings, absolute_url
from infra.storage import open_location
from models.architectures import preset_name, presets
from models.banks import load_training_data
from models.modelfile import SHIPPED, build
from models.semi_config import SemiConfig
from models.semi_data import RealRain
from models.streak_bank import StreakBankEmpty
from models.train_config import TrainConfig
from tasks.finetuning_material import Material, harvested, material_at
from tasks.preflight import ChosenModel, PreflightFailed, choose_model
from tasks.samples import local_home
from tasks.training_samples import make_training_samples

_STAGE_2 = TrainConfig(learning_rate=1e-4, warm_up=20, cool_down=1.0, finish=1.0, ema=0.99)
"""The learning rate falls from 1e-4 to 0 all along, and labelled rain counts by PSNR itself: a network that was
trained to its end loses light rain when it goes back to the loss that it began with."""
PRESETS = {
    "smoke": replace(
        _STAGE_2,
        preset="drd-net-slim",
        steps=20,
        batch=2,
        crop=48,
        validate_every=10,
        validation_photographs=2,
        save_seconds=5.0,
        precision="32-true",
    ),
    "slim": replace(_STAGE_2, preset="drd-net-slim", steps=2000, batch=8, crop=96, validate_every=200),
    "mid": replace(_STAGE_2, preset="drd-net-mid", steps=20_000, ema=0.999),
    "paper": replace(_STAGE_2, preset="drd-net-paper", steps=60_000, batch=8, crop=104, ema=0.999),
}
"""`smoke` shows in minutes that all works, `slim` trains on a CPU, the others on a GPU."""
STARTS = {"drd-net-slim": SHIPPED.with_name("drd-net-slim.safetensors")}
"""Weights that come with the package, by preset of the network."""


@dataclass(frozen=True, slots=True)
class FinetuneRequest:
    """Parameters of the flow, as they were given."""

    preset: str = "smoke"
    model: str = ""
    data: str = ""
    unlabelled: str = ""
    steps: int | None = None
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Prepared:
    """A fine-tuning that may begin."""

    train: TrainConfig
    semi: SemiConfig
    start: ChosenModel
    data: Path
    rain: RealRain
    work: Path
    """Where checkpoint, curve and weights lie: the same for the same request, so that it is gone on with."""
    streaks: str
    """What came of the windows that were looked at for streaks, in words."""

    @property
    def parameters(self) -> dict[str, Any]:
        """All that the training depends on, by name, for the tracked run."""
        return {
            **asdict(self.train),
            **{f"semi_{name}": value for name, value in asdict(self.semi).items()},
            "start": f"{self.start.name}, {self.start.version}",
            "start_digest": self.start.model_file.digest,
            "real_rain_digest": self.rain.digest,
            "streaks": self.streaks,
        }


def prepare_finetuning(settings: Settings, request: FinetuneRequest, semi: SemiConfig) -> Prepared:
    """Look at everything a fine-tuning needs, and take the streaks out of the unlabelled photographs.

    Raises
    ------
    PreflightFailed
        Or another of `tasks.preflight.REFUSALS`: what is wrong, in one line.
    """
    train = _train_config(request)
    open_location(settings.workspace).check(writable=True)
    start = _start(settings, request.model, train.preset)
    train = replace(train, preset=_preset_of(start))
    data, material = _material(settings, request)
    _refuse_unusable(data)
    harvest = harvested(start.model_file, material.photographs, settings.device)
    try:
        rain = material.real_rain(harvest)
    except StreakBankEmpty as error:
        raise PreflightFailed(str(error)) from error
    work = local_home(settings.workspace) / "finetune" / _digest(train, semi, start, data, rain)
    refused = "".join(f", {count} {reason}" for reason, count in harvest.refused.items())
    train = replace(train, init=str(work / "start.safetensors"))
    return Prepared(train, semi, start, data, rain, work, f"{len(harvest.layers)} accepted{refused}")


def _train_config(request: FinetuneRequest) -> TrainConfig:
    if request.preset not in PRESETS:
        raise PreflightFailed(
            f"preset {request.preset!r}: there is no such one; there are {', '.join(PRESETS)}"
        )
    known = PRESETS[request.preset]
    steps = request.steps or known.steps
    return replace(known, steps=steps, seed=request.seed, validate_every=min(known.validate_every, steps))


def _start(settings: Settings, model: str, preset: str) -> ChosenModel:
    if model:
        return choose_model(settings, model)
    if preset not in STARTS:
        raise PreflightFailed(
            f"no trained {preset} comes with the package: give one to start from with --model"
        )
    return choose_model(settings, str(STARTS[preset]))


def _preset_of(start: ChosenModel) -> str:
    name = preset_name(build(start.model_file).config)
    if name not in presets():
        raise PreflightFailed(f"model {start.name} has sizes of its own: it must be of a preset")
    return name


def _material(settings: Settings, request: FinetuneRequest) -> tuple[Path, Material]:
    """Find labelled data and unlabelled photographs: those that are named, or else generated ones for `smoke`."""
    data, unlabelled = request.data or settings.training or "", request.unlabelled
    if request.preset == "smoke" and not (data and unlabelled):
        generated = make_training_samples(settings.workspace)
        data, unlabelled = data or str(generated[0]), unlabelled or str(generated[1])
    for name, value, what in (
        ("data", data, "a folder with clean/ and streaks/ or garg/"),
        ("unlabelled", unlabelled, "pool, or a folder or bucket prefix of rainy photographs"),
    ):
        if not value:
            raise PreflightFailed(f"no {name} for preset {request.preset}: give --{name}, {what}")
    try:
        material = material_at(settings, unlabelled)
    except FileNotFoundError as error:
        raise PreflightFailed(str(error)) from error
    return Path(absolute_url(data)), material


def _refuse_unusable(folder: Path) -> None:
    """Read a training folder as the training will."""
    try:
        for held_out in (False, True):
            load_training_data(folder, held_out=held_out)
    except (OSError, KeyError, ValueError) as error:
        named = str(error) if str(folder) in str(error) else f"{folder}: {error}"
        raise PreflightFailed(f"data {named}") from error


def _digest(train: TrainConfig, semi: SemiConfig, start: ChosenModel, data: Path, rain: RealRain) -> str:
    request = {
        "train": {name: value for name, value in asdict(train).items() if name != "init"},
        "semi": asdict(semi),
        "start": start.model_file.digest,
        "data": str(data),
        "rain": rain.digest,
    }
    return sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:16]
