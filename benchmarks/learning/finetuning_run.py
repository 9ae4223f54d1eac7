"""One cell of the learning loop (`fine_tune`): the student, fine-tuned with some terms on one domain."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from benchmarks.learning.rain_domains import RainyScene, background
from benchmarks.rejected.fine_tuning_terms import AblationConfig, SemiSupervisedAblation
from models.engine import Engine, fast_dtype
from models.evaluation.validation import render_validation
from models.images import RgbImage
from models.modelfile import STUDENT_BASE, build, pack, read_model_file
from models.networks.base import Network
from models.rain.banks import Bank, bank_of, load_training_data
from models.rain.streak_mining import HOLD_OUT_EVERY, StreakHarvest, harvest_streaks
from models.training.config import TrainConfig
from models.training.fabric import launch_fabric
from models.training.loop import fit
from models.training.semi.config import SemiConfig
from models.training.semi.data import RealRain, Targets
from models.training.semi.rain_critic import RainCritic, train_critic
from models.training.weight_interpolation import interpolate_best

PSEUDO_LABELS, TEMPORAL = "re-rain + own pseudo-labels", "re-rain + temporal"
SHARES = (0.1, 0.3, 1.0)
"""Norms of a contrast's gradient, relative to that of re-rain; see `models.training.semi.gradient_share`."""
TERMS = {
    "labelled only": AblationConfig(rerain=0.0),
    "re-rain": AblationConfig(),
    "re-rain + anchor": AblationConfig(anchor=0.1),
    "re-rain + rain on rain": AblationConfig(rain_on_rain=0.2),
    "re-rain + mean teacher": AblationConfig(mean_teacher=0.2),
    **{f"re-rain + streak contrast {share}": AblationConfig(streak_contrast=share) for share in SHARES},
    **{
        f"re-rain + background contrast {share}": AblationConfig(background_contrast=share)
        for share in SHARES
    },
    PSEUDO_LABELS: AblationConfig(pseudo_label=0.5),
    TEMPORAL: AblationConfig(),
}
"""The terms that are measured, each in addition to re-rain; the last two need additional data."""
WIDENED = 7
"""Side in pixels of the square around found rain in which a pseudo-label is trusted."""
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Setup:
    """Data and hyper-parameters of every cell."""

    data: Path
    work: Path
    """Folder of the checkpoints."""
    train: TrainConfig

    def out(self, terms: str, domain: str) -> Path:
        """Return the folder of a cell, which depends on the steps and the seed too."""
        name = f"{domain}-{terms}-{self.train.steps}-{self.train.seed}"
        return self.work / name.replace(" + ", "+").replace(" ", "-")


@dataclass(frozen=True, slots=True)
class FineTuned:
    """Result of a cell."""

    best: Engine
    """The network that a fine-tuning would register: the start, if nothing was better."""
    last: Engine
    """The weights at the end of the training, without interpolation."""
    best_step: int
    share: float
    """Interpolation weight from the start to the weights of that step: `models.training.weight_interpolation`."""
    harvest: StreakHarvest


def fine_tune(setup: Setup, terms: str, pool: Sequence[RainyScene], out: Path) -> FineTuned:
    """Fine-tune the student; an interrupted cell resumes from its checkpoint.

    Training sees only the `frames` of the scenes, without the second one, and never a clean photograph.
    """
    out.mkdir(parents=True, exist_ok=True)
    start = shipped()
    rainy = [each.frames[0] for each in pool]
    derained = [engine_of(start).derain(each[None])[0] for each in rainy]
    harvest = harvest_streaks(rainy, derained)
    config = TERMS[terms]
    real = _real_rain(terms, pool, harvest)
    own = _own_pseudo_labels(rainy, derained) if terms == PSEUDO_LABELS else None
    objective = SemiSupervisedAblation(config, real, shipped(), _critic(setup, config), own)
    fabric = launch_fabric("cpu", setup.train.precision)
    state = fit(fabric, setup.train, setup.data, out, objective=objective)
    held_out = load_training_data(setup.data, held_out=True)
    pairs = render_validation(held_out, setup.train.validation_photographs)
    chosen = out / f"{setup.train.preset}.safetensors"
    origin = read_model_file(STUDENT_BASE)
    result = interpolate_best(fabric, chosen, origin, lambda network: objective.score(network, pairs))
    last = engine_of(build(pack(state.average, {})))  # rounded like a model file
    if not result.is_better:
        return FineTuned(engine_of(start), last, 0, 0.0, harvest)
    best = read_model_file(result.weights)
    step = int(json.loads(best.config)["facts"]["step"])
    return FineTuned(engine_of(build(best)), last, step, result.share, harvest)


def shipped() -> Network:
    """Load the shipped student."""
    return build(read_model_file(STUDENT_BASE))


def engine_of(network: Network) -> Engine:
    """Build an engine for a copy of a network, like that of derain-batch."""
    return Engine(copy.deepcopy(network), CPU, fast_dtype(CPU))


def _own_pseudo_labels(rainy: Sequence[RgbImage], derained: Sequence[RgbImage]) -> Targets:
    trusted = [_trusted(before, after) for before, after in zip(rainy, derained, strict=True)]
    return Targets(_bank(rainy), _bank(derained), _bank(trusted))


def _real_rain(terms: str, pool: Sequence[RainyScene], harvest: StreakHarvest) -> RealRain:
    rainy = [each.frames[0] for each in pool]
    training, validation = harvest.split()
    data = RealRain(_bank(rainy), training, validation)
    if terms == TEMPORAL:
        others = set(range(0, len(pool), HOLD_OUT_EVERY))
        scenes = [each for number, each in enumerate(pool) if number not in others]
        held_out = _backgrounds([pool[number] for number in sorted(others)])
        return replace(
            data, temporal=_backgrounds(scenes) if scenes else held_out, held_out_temporal=held_out
        )
    return data


def _backgrounds(pool: Sequence[RainyScene]) -> Targets:
    """Build targets from the background of the frames; leave out the frame that training must not see."""
    rainy = [each.frames[0] for each in pool]
    stills = [background((each.frames[0], *each.frames[2:])) for each in pool]
    sure = [np.full((*each.shape[:2], 1), 255, np.uint8) for each in rainy]
    return Targets(_bank(rainy), _bank(stills), _bank(sure))


def _trusted(rainy: RgbImage, derained: RgbImage) -> RgbImage:
    """Return the confidence of a pseudo-label, (H, W, 1): full around the rain that was found, 0 elsewhere."""
    taken = torch.from_numpy(rainy.astype(np.float32) - derained).clamp(min=0).mean(-1)
    mask = (taken > max(4.0, float(taken.mean()))).float()[None, None]
    widened = torch.nn.functional.max_pool2d(mask, WIDENED, 1, WIDENED // 2)
    trusted: RgbImage = (255 * widened[0, 0, :, :, None]).to(torch.uint8).numpy()
    return trusted


def _bank(pictures: Sequence[RgbImage]) -> Bank:
    return bank_of([torch.from_numpy(np.ascontiguousarray(picture)) for picture in pictures])


def _critic(setup: Setup, config: SemiConfig) -> RainCritic | None:
    if not config.background_contrast:
        return None
    known = setup.work / f"rain_critic-{setup.train.seed}.safetensors"
    if not known.exists():
        training, held_out = (load_training_data(setup.data, held_out=each) for each in (False, True))
        trained = train_critic(training, held_out, setup.train.seed)
        print(f"rain critic: {100 * trained.accuracy:.1f} % correct on held-out photographs", flush=True)
        save_file(trained.critic.state_dict(), known)
    critic = RainCritic()
    critic.load_state_dict(load_file(known))
    return critic.eval().requires_grad_(False)
