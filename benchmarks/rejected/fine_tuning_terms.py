"""Terms of fine-tuning that were measured not to pay (`SemiSupervisedAblation`); only the ablation uses them.

`results/learning_loop.csv` has the figures: they gained between 0.07 dB less and 0.01 dB more than re-rain alone,
and the mean teacher lost 0.08 dB of light rain. All of them can go wrong together with the network: a teacher that
leaves rain teaches to leave it.
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
"""Ramp of the weight of a mean teacher: exp(-5) at the start, 1 at the end (Tarvainen and Valpola, 2017)."""
RAIN_MARGIN = 7
"""Side in pixels of the square that a found streak is widened to; what lies further off is background."""
LEAST_ANISOTROPY = 0.5
"""Minimum anisotropy of a teacher's findings in a shrunk photograph; anything below is not a streak."""
TEACHER_DECAY = 0.999
TEACHER_SCALES = (1.0, 0.75, 0.5)
"""Sizes at which the teacher looks for rain: what is too large to be known becomes familiar when shrunk."""
PSEUDO_LABEL, STRONG_VIEW, RAIN_ON_RAIN = 3, 5, 6
"""Random streams that `models.training.semi.objective.Stream` leaves free."""


@dataclass(frozen=True, slots=True)
class AblationConfig(SemiConfig):
    """Weights of the terms in use and of the rejected ones; a weight of 0 switches a term off."""

    anchor: float = 0.0
    """L1 to the input where no rain was found, on unlabelled photographs; tried with 0.1."""
    pseudo_label: float = 0.0
    """PSNR to the network's own pseudo-labels where they are trusted; tried with 0.5."""
    rain_on_rain: float = 0.0
    """L1 of (unlabelled + real streaks) to what a mean teacher makes of it without them; tried with 0.2."""
    mean_teacher: float = 0.0
    """L1 of a strong view to the teacher on a weak one, times `consistency_rampup`; tried with 0.2."""


class SemiSupervisedAblation(SemiSupervised):
    """The terms of `AblationConfig` on labelled pairs and on real rain.

    Parameters
    ----------
    config : AblationConfig
        What counts how much.
    data : RealRain
        On the device of the training.
    start : Network
        What the training and the mean teacher start from.
    critic : RainCritic, optional
        Feature space of the background contrast; needed where that is on.
    pseudo_labels : Targets, optional
        The network's own; without them their term is off.
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
        """Return the terms whose target a mean teacher makes."""
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
        """Return the strong view of unlabelled photographs, and what the teacher makes of the weak one.

        Exposure and JPEG go on both: on the strong view alone they would train a denoiser.
        """
        rng = batch.rng(STRONG_VIEW)
        rainy = self.data.crops(rng, batch.size)
        target = teacher(rainy, TEACHER_SCALES).float().clamp(0, 1)
        both = degradations.expose(rng, torch.cat((rainy, target), 1)).clamp(0, 1)
        quality = rng.uniform(60, 98)
        strong = rerained(rng, self.data.streaks, both[:, :3]).rainy
        return degradations.jpeg(strong, quality), degradations.jpeg(both[:, 3:], quality)


class MeanTeacher(nn.Module):
    """A moving average of the network in training; it never gets a gradient."""

    def __init__(self, start: Network) -> None:
        super().__init__()
        self.network = start.eval().requires_grad_(False)

    @torch.no_grad()
    def follow(self, network: nn.Module, decay: float) -> None:
        """Keep this share of the average and take the rest from the network."""
        current = [parameter.detach() for parameter in network.parameters()]
        torch._foreach_lerp_(list(self.network.parameters()), current, 1 - decay)
        for average, latest in zip(self.network.buffers(), network.buffers(), strict=True):
            average.copy_(latest)

    @torch.no_grad()
    def forward(self, rainy: Tensor, scales: Sequence[float] = (1.0,)) -> Tensor:
        """Derain (B, 3, H, W), looking for rain at several sizes; the most that any of them finds counts.

        What is found at a smaller size counts only where it is drawn out as streaks are.
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
    """Mark where rain layers (B, 3, H, W) are drawn out in one direction, (B, 1, H, W)."""
    drawn_out = structure_tensor(streaks.mean(1)).anisotropy[:, None]
    return (F.pad(drawn_out, (0, 1, 0, 1), mode="replicate") > LEAST_ANISOTROPY).float()


def consistency_rampup(step: int, steps: int) -> float:
    """Return exp(-5 (1 - t/T)^2): how far a mean teacher is trusted at a step."""
    return math.exp(-RAMP * (1 - min(step / max(steps, 1), 1)) ** 2)


def identity_loss_outside_rain(derained: Tensor, rainy: Tensor) -> Tensor:
    """L1 of derained photographs to their input where no rain was found.

    Only there: everywhere it would reward leaving rain. Ours, against collapse.
    """
    outside = 1 - rain_mask(derained.detach(), rainy)
    return (outside * (derained.float() - rainy).abs()).mean()


def rain_mask(derained: Tensor, rainy: Tensor) -> Tensor:
    """Mark where a network found rain, widened by some pixels, (B, 1, H, W) of 0 and 1."""
    streaks = (rainy - derained).float().clamp(min=0).mean(1, keepdim=True)
    threshold = streaks.mean(dim=(1, 2, 3), keepdim=True).clamp(min=FAINTEST_RAIN)
    return F.max_pool2d((streaks > threshold).float(), RAIN_MARGIN, 1, RAIN_MARGIN // 2)
