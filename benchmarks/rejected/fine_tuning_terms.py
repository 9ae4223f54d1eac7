"""Terms of fine-tuning that measured no gain (`SemiSupervisedAblation`); only the ablation uses them.

The figures are in `results/learning_loop.csv`: the terms gained between 0.07 dB less and 0.01 dB more than re-rain
alone, and the mean teacher lost 0.08 dB on light rain. All of them reinforce errors of the network: a teacher that
leaves rain teaches the network to leave it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.base import Network
from models.pairs import FAINTEST_RAIN, RainyPair
from models.rain import degradations
from models.rain.real_streaks import rerained
from models.structure_tensor import structure_tensor
from models.training.config import TrainConfig
from models.training.schedules import ema_decay
from models.training.semi.config import SemiConfig
from models.training.semi.data import RealRain, Targets
from models.training.semi.objective import SemiSupervised, StepBatch, Stream, channels_last
from models.training.semi.rain_critic import RainCritic

RAMP = 5.0
"""Exponent of the ramp of a mean teacher's weight, from exp(-5) to 1 (Tarvainen and Valpola, 2017)."""
RAIN_MARGIN = 7
"""Side in pixels of the square to which found streaks are widened; pixels outside are background."""
LEAST_ANISOTROPY = 0.5
"""Minimum anisotropy of streaks that a teacher finds in a shrunk photograph."""
TEACHER_DECAY = 0.999
TEACHER_SCALES = (1.0, 0.75, 0.5)
"""Scales at which the teacher looks for rain: unusually large rain becomes familiar when shrunk."""
PSEUDO_LABEL, STRONG_VIEW, RAIN_ON_RAIN = 3, 5, 6
"""Random streams that `models.training.semi.objective.Stream` does not use."""


@dataclass(frozen=True, slots=True)
class AblationConfig(SemiConfig):
    """Weights of the terms in use and of the rejected ones; a weight of 0 switches a term off."""

    anchor: float = 0.0
    """Weight of L1 to the input where no rain was found, on unlabelled photographs; measured with 0.1."""
    pseudo_label: float = 0.0
    """Weight of PSNR to the network's own pseudo-labels where they are trusted; measured with 0.5."""
    rain_on_rain: float = 0.0
    """Weight of L1 between the network's output with added real streaks and a mean teacher's without; measured with
    0.2."""
    mean_teacher: float = 0.0
    """Weight of L1 between the output on a strong view and the teacher's on a weak one, ramped up; measured with
    0.2."""


class SemiSupervisedAblation(SemiSupervised):
    """The terms of `AblationConfig` on labelled pairs and on real rain.

    Parameters
    ----------
    config : AblationConfig
        Weights of the terms.
    data : RealRain
        Real rain, on the device of the training.
    start : Network
        Network that the training and the mean teacher start from.
    critic : RainCritic, optional
        Feature space of the background contrast; needed if that is on.
    pseudo_labels : Targets, optional
        The network's own pseudo-labels; without them their term is off.
    """

    config: AblationConfig

    def __init__(
        self,
        config: AblationConfig,
        data: RealRain,
        start: Network,
        critic: RainCritic | None = None,
        pseudo_labels: Targets | None = None,
    ) -> None:
        super().__init__(config, data, critic)
        self.pseudo_labels = pseudo_labels
        self.teacher = MeanTeacher(start) if config.rain_on_rain or config.mean_teacher else None

    def forward(self, network: Any, config: TrainConfig, step: int, pair: RainyPair) -> dict[str, Tensor]:
        """Return the terms, as `SemiSupervised.forward` does."""
        terms = super().forward(network, config, step, pair)
        batch = StepBatch(config, step, pair)
        if self.config.anchor:
            rainy = self.data.crops(batch.rng(Stream.UNLABELLED), batch.size)
            loss = identity_loss_outside_rain(network(channels_last(rainy)), rainy)
            terms["anchor"] = self.config.anchor * loss
        if self.pseudo_labels is not None and self.config.pseudo_label:
            rng, weight = batch.rng(PSEUDO_LABEL), self.config.pseudo_label
            terms |= self._on_targets(network, batch, rng, "pseudo_label", weight, self.pseudo_labels)
        if self.teacher is not None:
            self.teacher.follow(network, ema_decay(TEACHER_DECAY, step))
            terms |= self._of_teacher(network, self.teacher, batch)
        return terms

    def _of_teacher(self, network: Any, teacher: MeanTeacher, batch: StepBatch) -> dict[str, Tensor]:
        """Return the terms whose targets come from the mean teacher."""
        terms = {}
        if self.config.rain_on_rain:
            rng = batch.rng(RAIN_ON_RAIN)
            rainy = self.data.crops(rng, batch.size)
            more = rerained(rng, self.data.streaks, rainy).rainy
            error = F.l1_loss(network(channels_last(more)).float(), teacher(rainy).float())
            terms["rain_on_rain"] = self.config.rain_on_rain * error
        if self.config.mean_teacher:
            strong, target = self._views(teacher, batch)
            error = F.l1_loss(network(channels_last(strong)).float(), target)
            weight = self.config.mean_teacher * consistency_rampup(batch.step, batch.config.steps)
            terms["mean_teacher"] = weight * error
        return terms

    @torch.no_grad()
    def _views(self, teacher: MeanTeacher, batch: StepBatch) -> tuple[Tensor, Tensor]:
        """Return the strong view of unlabelled photographs, and the teacher's output on the weak one.

        Both get the same exposure and JPEG: on the strong view alone, these would train a denoiser.
        """
        rng = batch.rng(STRONG_VIEW)
        rainy = self.data.crops(rng, batch.size)
        target = teacher(rainy, TEACHER_SCALES).float().clamp(0, 1)
        both = degradations.jitter_exposure(rng, torch.cat((rainy, target), 1)).clamp(0, 1)
        quality = rng.uniform(60, 98)
        strong = rerained(rng, self.data.streaks, both[:, :3]).rainy
        return degradations.jpeg(strong, quality), degradations.jpeg(both[:, 3:], quality)


class MeanTeacher(nn.Module):
    """A moving average of the network in training, without gradients."""

    def __init__(self, start: Network) -> None:
        super().__init__()
        self.network = start.eval().requires_grad_(False)

    @torch.no_grad()
    def follow(self, network: nn.Module, decay: float) -> None:
        """Update the average; `decay` is the share of the old weights."""
        current = [parameter.detach() for parameter in network.parameters()]
        torch._foreach_lerp_(list(self.network.parameters()), current, 1 - decay)
        for average, latest in zip(self.network.buffers(), network.buffers(), strict=True):
            average.copy_(latest)

    @torch.no_grad()
    def forward(self, rainy: Tensor, scales: Sequence[float] = (1.0,)) -> Tensor:
        """Derain (B, 3, H, W) at several scales; the strongest rain found at each pixel counts.

        Rain found at a smaller scale counts only where it is elongated like streaks.
        """
        streaks = [self._streaks(rainy, scale) for scale in scales]
        most = streaks[0]
        for smaller in streaks[1:]:
            most = torch.maximum(most, smaller * _is_streak(smaller))
        return rainy - most

    def _streaks(self, rainy: Tensor, scale: float) -> Tensor:
        if scale == 1:
            full: Tensor = rainy - self.network(rainy)
            return full
        size = [round(scale * side) for side in rainy.shape[-2:]]
        shrunk = F.interpolate(rainy, size, mode="bilinear", antialias=True, align_corners=False)
        smaller = (shrunk - self.network(shrunk)).float()
        return F.interpolate(smaller, rainy.shape[-2:], mode="bilinear", align_corners=False)


def _is_streak(streaks: Tensor) -> Tensor:
    """Mark where rain layers (B, 3, H, W) are elongated, (B, 1, H, W)."""
    anisotropy = structure_tensor(streaks.mean(1)).anisotropy[:, None]
    return (F.pad(anisotropy, (0, 1, 0, 1), mode="replicate") > LEAST_ANISOTROPY).float()


def consistency_rampup(step: int, steps: int) -> float:
    """Return exp(-5 (1 - t/T)^2), the factor of a mean teacher's weight at a step."""
    return math.exp(-RAMP * (1 - min(step / max(steps, 1), 1)) ** 2)


def identity_loss_outside_rain(derained: Tensor, rainy: Tensor) -> Tensor:
    """Return L1 between derained photographs and their input where no rain was found (ours, against collapse).

    In the rain, it would reward leaving it.
    """
    outside = 1 - rain_mask(derained.detach(), rainy)
    return (outside * (derained.float() - rainy).abs()).mean()


def rain_mask(derained: Tensor, rainy: Tensor) -> Tensor:
    """Mark where a network found rain, widened by a few pixels, (B, 1, H, W) of 0 and 1."""
    streaks = (rainy - derained).float().clamp(min=0).mean(1, keepdim=True)
    threshold = streaks.mean(dim=(1, 2, 3), keepdim=True).clamp(min=FAINTEST_RAIN)
    return F.max_pool2d((streaks > threshold).float(), RAIN_MARGIN, 1, RAIN_MARGIN // 2)
