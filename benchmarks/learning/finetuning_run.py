"""One cell of the learning loop: the student, fine-tuned with some terms on the rainy photographs of a domain."""

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
from models.training.weight_interpolation import keep

PSEUDO_LABELS, TEMPORAL = "re-rain + own pseudo-labels", "re-rain + temporal"
TERMS = {
    "labelled only": AblationConfig(rerain=0.0),
    "re-rain": AblationConfig(),
    "re-rain + anchor": AblationConfig(anchor=0.1),
    "re-rain + rain on rain": AblationConfig(rain_on_rain=0.2),
    "re-rain + mean teacher": AblationConfig(mean_teacher=0.2),
    "re-rain + streak contrast": AblationConfig(streak_contrast=0.1),
    "re-rain + background contrast": AblationConfig(background_contrast=0.1),
    PSEUDO_LABELS: AblationConfig(pseudo_label=0.5),
    TEMPORAL: AblationConfig(),
}
"""Terms that are added to re-rain; the last two need their own data."""
WIDENED = 7
"""Side in pixels of the square that found rain is widened to; in it a pseudo-label is trusted."""
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Course:
    """How every cell is trained, and from what."""

    data: Path
    work: Path
    """Where checkpoints lie."""
    train: TrainConfig

    def out(self, terms: str, domain: str) -> Path:
        """Return the folder of a cell; other steps or another seed have another."""
        name = f"{domain}-{terms}-{self.train.steps}-{self.train.seed}"
        return self.work / name.replace(" + ", "+").replace(" ", "-")


@dataclass(frozen=True, slots=True)
class Tuned:
    """The result of a cell."""

    best: Engine
    """The model that a fine-tuning would register: the initial one if no weights were better."""
    last: Engine
    """The weights that training ended with, whole."""
    best_step: int
    share: float
    """Of the way from the start to the weights of that step: `models.training.weight_interpolation`."""
    harvest: StreakHarvest


def tuned(course: Course, terms: str, pool: Sequence[RainyScene], out: Path) -> Tuned:
    """Fine-tune the student; an interrupted cell resumes from its checkpoint.

    Only `frames` of the scenes are looked at, and of them all but the second: never a clean photograph.
    """
    out.mkdir(parents=True, exist_ok=True)
    start = shipped()
    rainy = [each.frames[0] for each in pool]
    derained = [engine_of(start).derain(each[None])[0] for each in rainy]
    harvest = harvest_streaks(rainy, derained)
    config = TERMS[terms]
    real = _real_rain(terms, pool, harvest)
    own = _own_pseudo_labels(rainy, derained) if terms == PSEUDO_LABELS else None
    objective = SemiSupervisedAblation(config, real, shipped(), _critic(course, config), own)
    fabric = launch_fabric("cpu", course.train.precision)
    state = fit(fabric, course.train, course.data, out, objective=objective)
    held_out = load_training_data(course.data, held_out=True)
    pairs = render_validation(held_out, course.train.validation_photographs)
    chosen = out / f"{course.train.preset}.safetensors"
    origin = read_model_file(STUDENT_BASE)
    kept = keep(fabric, chosen, origin, lambda network: objective.judge(network, pairs))
    last = engine_of(build(pack(state.average, {})))  # rounded as what ships
    if not kept.is_better:
        return Tuned(engine_of(start), last, 0, 0.0, harvest)
    best = read_model_file(kept.weights)
    step = int(json.loads(best.config)["facts"]["step"])
    return Tuned(engine_of(build(best)), last, step, kept.share, harvest)


def shipped() -> Network:
    """Load the student that comes with the package."""
    return build(read_model_file(STUDENT_BASE))


def engine_of(network: Network) -> Engine:
    """Run a copy of a network as derain-batch would."""
    return Engine(copy.deepcopy(network), CPU, fast_dtype(CPU))


def _own_pseudo_labels(rainy: Sequence[RgbImage], derained: Sequence[RgbImage]) -> Targets:
    trusted = [_trusted(before, after) for before, after in zip(rainy, derained, strict=True)]
    return Targets(_bank(rainy), _bank(derained), _bank(trusted))


def _real_rain(terms: str, pool: Sequence[RainyScene], harvest: StreakHarvest) -> RealRain:
    rainy = [each.frames[0] for each in pool]
    training, judging = harvest.split()
    data = RealRain(_bank(rainy), training, judging)
    if terms == TEMPORAL:
        others = set(range(0, len(pool), HOLD_OUT_EVERY))
        scenes = [each for number, each in enumerate(pool) if number not in others]
        judges = _backgrounds([pool[number] for number in sorted(others)])
        return replace(data, temporal=_backgrounds(scenes) if scenes else judges, held_out_temporal=judges)
    return data


def _backgrounds(pool: Sequence[RainyScene]) -> Targets:
    """Make targets of what is still in the frames; the one that nothing sees is left out."""
    rainy = [each.frames[0] for each in pool]
    stills = [background((each.frames[0], *each.frames[2:])) for each in pool]
    sure = [np.full((*each.shape[:2], 1), 255, np.uint8) for each in rainy]
    return Targets(_bank(rainy), _bank(stills), _bank(sure))


def _trusted(rainy: RgbImage, derained: RgbImage) -> RgbImage:
    """Trust a pseudo-label around rain that was found, and nowhere else, (H, W, 1)."""
    taken = torch.from_numpy(rainy.astype(np.float32) - derained).clamp(min=0).mean(-1)
    mask = (taken > max(4.0, float(taken.mean()))).float()[None, None]
    widened = torch.nn.functional.max_pool2d(mask, WIDENED, 1, WIDENED // 2)
    trusted: RgbImage = (255 * widened[0, 0, :, :, None]).to(torch.uint8).numpy()
    return trusted


def _bank(pictures: Sequence[RgbImage]) -> Bank:
    return bank_of([torch.from_numpy(np.ascontiguousarray(picture)) for picture in pictures])


def _critic(course: Course, config: SemiConfig) -> RainCritic | None:
    if not config.background_contrast:
        return None
    known = course.work / f"rain_critic-{course.train.seed}.safetensors"
    if not known.exists():
        training, held_out = (load_training_data(course.data, held_out=each) for each in (False, True))
        trained = train_critic(training, held_out, course.train.seed)
        print(f"rain critic: {100 * trained.accuracy:.1f} % right on held-out photographs", flush=True)
        save_file(trained.critic.state_dict(), known)
    critic = RainCritic()
    critic.load_state_dict(load_file(known))
    return critic.eval().requires_grad_(False)
