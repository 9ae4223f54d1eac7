"""Distillation (`Distillation`): a student learns from labelled pairs and from frozen teachers.

A reconstruction. On labelled crops the student follows the teacher where the teacher is closer to the truth, and
matches its features. On unlabelled photographs, which contribute most of the gain, the teacher's version is the
only target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from models.networks.base import Features
from models.networks.losses import psnr_terms, reconstruction_terms
from models.pairs import RainyPair
from models.rng import SampleRng
from models.training.config import TrainConfig
from models.training.distill.feature_matching import FeatureMatch, attention_distance
from models.training.distill.teacher_targets import TEACHER_TARGET_SEED, TeacherTargets
from models.training.distill.teachers import Teacher
from models.training.objectives import Objective
from models.training.ranges import NOT_NEGATIVE, SHARE, check_ranges


@dataclass(frozen=True, slots=True)
class DistillConfig:
    """Weights of the terms; a term of weight 0 is not computed."""

    labelled_weight: float = 0.2
    """Weight of the distance to the teacher on labelled crops, where it is closer to the truth than the student."""
    unlabelled_weight: float = 1.0
    """Weight of the distance to the teacher's versions of unlabelled photographs."""
    feature_weight: float = 0.05
    """Weight of the distance to the teacher's features, if it has any."""
    attention_weight: float = 0.0
    """Weight of the distance to the teacher's attention maps."""
    rain_emphasis: float = 4.0
    """Additional weight of features in the rain."""
    fade: float = 0.3
    """Last share of the steps, 0 to 1, over which the weights of features and attention fall to 0."""
    unlabelled_share: float = 0.5
    """Unlabelled crops per labelled one."""

    def __post_init__(self) -> None:
        """Check the settings.

        Raises
        ------
        ValueError
            If a setting is invalid; the message names it and its range.
        """
        values = asdict(self)
        check_ranges(values, {**dict.fromkeys(values, NOT_NEGATIVE), "fade": SHARE})

    def inner_share(self, step: int, steps: int) -> float:
        """Return the share of the weights of features and attention that applies at a step."""
        left = (steps - step) / steps
        return min(1.0, left / self.fade) if self.fade else 1.0


@dataclass(frozen=True, slots=True)
class Lineage:
    """Teachers and unlabelled photographs of a distilled student, as names and digests."""

    teacher: str
    teacher_digest: str
    unlabelled_teacher: str = ""
    unlabelled_teacher_digest: str = ""
    unlabelled_photographs: int = 0
    unlabelled_digest: str = ""


class Distillation(Objective):
    """The student's own loss on labelled pairs, and the distances to its teachers.

    Parameters
    ----------
    config : DistillConfig
        Weights of the terms.
    lineage : Lineage
        Part of every checkpoint, so that no training resumes with another teacher.
    student : mapping
        `Network.feature_widths` of the student.
    teacher : Teacher
        Teaches on labelled crops.
    targets : TeacherTargets, optional
        Unlabelled photographs and a teacher's versions of them.
    process : tuple of int
        Rank of this process and number of processes; each draws different unlabelled crops.
    """

    def __init__(
        self,
        config: DistillConfig,
        lineage: Lineage,
        student: Mapping[int, int],
        teacher: Teacher,
        targets: TeacherTargets | None = None,
        process: tuple[int, int] = (0, 1),
    ) -> None:
        super().__init__()
        self.config = config
        self.lineage = lineage
        self._teacher = teacher
        self._targets = targets if config.unlabelled_weight and config.unlabelled_share else None
        self._process = process
        shared = student.keys() & teacher.feature_widths.keys()
        self._has_attention = bool(config.attention_weight and shared)
        self.match = (
            FeatureMatch(student, teacher.feature_widths, config.rain_emphasis)
            if config.feature_weight and shared
            else None
        )

    @property
    def facts(self) -> dict[str, Any]:
        """Weights and lineage; see `Objective.facts`."""
        return {"distill": asdict(self.config), "lineage": asdict(self.lineage)}

    def forward(self, network: Any, config: TrainConfig, step: int, pair: RainyPair) -> dict[str, Tensor]:
        """Return the terms; see `Objective.forward`."""
        unlabelled = self._unlabelled_crops(config, step, pair)
        rainy = pair.rainy if unlabelled is None else torch.cat((pair.rainy, unlabelled[0]))
        features = network.features(rainy.contiguous(memory_format=torch.channels_last))
        labelled = _first(features, len(pair.rainy))
        terms = supervised_terms(config, step, labelled.derained, pair)
        if self.config.labelled_weight or self.match is not None or self._has_attention:
            share = self.config.inner_share(step, config.steps)
            terms |= self._labelled_terms(labelled, self._teacher.teach(pair.rainy), pair, share)
        if unlabelled is not None:
            distance = (features.derained[len(pair.rainy) :].float() - unlabelled[1]).abs().mean()
            terms["unlabelled"] = self.config.unlabelled_weight * distance
        return terms

    def _labelled_terms(
        self, student: Features, teacher: Features, pair: RainyPair, share: float
    ) -> dict[str, Tensor]:
        """Return the teacher's terms on labelled crops."""
        terms = {}
        if self.config.labelled_weight:
            distance = distance_to_better_teacher(student.derained, teacher.derained, pair.clean)
            terms["labelled"] = self.config.labelled_weight * distance
        if self.match is not None:
            assert teacher.rain_mask is not None  # `Teacher.teach` gives one with features
            distance = self.match(student.levels, teacher.levels, teacher.rain_mask)
            terms["features"] = self.config.feature_weight * share * distance
        if self._has_attention:
            distance = attention_distance(student.levels, teacher.levels)
            terms["attention"] = self.config.attention_weight * share * distance
        return terms

    def _unlabelled_crops(
        self, config: TrainConfig, step: int, pair: RainyPair
    ) -> tuple[Tensor, Tensor] | None:
        """Draw the unlabelled crops of a step and the teacher's versions of them."""
        if self._targets is None:
            return None
        count = max(1, round(len(pair.rainy) * self.config.unlabelled_share))
        number, processes = self._process
        first = (step * processes + number) * count
        samples = torch.arange(first, first + count, device=pair.rainy.device)
        return self._targets.crops(
            SampleRng(config.seed + TEACHER_TARGET_SEED, samples), pair.rainy.shape[-1]
        )


def supervised_terms(config: TrainConfig, step: int, derained: Tensor, pair: RainyPair) -> dict[str, Tensor]:
    """Return the terms of `models.training.objectives.Supervised` for photographs that are derained already."""
    return (psnr_terms if config.by_psnr(step) else reconstruction_terms)(derained, pair.clean)


def distance_to_better_teacher(student: Tensor, teacher: Tensor, clean: Tensor) -> Tensor:
    """Return the mean of |student - teacher| over all pixels, with 0 where the teacher is not closer to the truth.

    All are (B, 3, H, W); closeness is measured over the three channels of a pixel together.
    """
    student, teacher, truth = student.float(), teacher.float(), clean.float()
    errors = [(each.detach() - truth).abs().sum(dim=1, keepdim=True) for each in (student, teacher)]
    return ((errors[1] < errors[0]) * (student - teacher).abs()).mean()


def _first(features: Features, count: int) -> Features:
    """Return the features of the first photographs of a batch."""
    levels = {cell: level[:count] for cell, level in features.levels.items()}
    return Features(features.derained[:count], levels, None)
