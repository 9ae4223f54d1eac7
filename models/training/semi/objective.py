"""Semi-supervised training of any network: labelled pairs, and real rain without labels.

Semi-DRDNet (arXiv 2204.02772) with DRD-Net, whose formulas could not be obtained: a reconstruction, with re-rain
as what it stands on. Stage 2 of a training: it starts from weights that derain, at a low learning rate, and with
BatchNorm frozen, since real and synthetic rain differ in their statistics.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.evaluation.validation import ValidationSet
from models.networks.base import Network
from models.networks.losses import psnr_term
from models.pairs import RainyPair
from models.rain import degradations
from models.rain.real_streaks import real_streaks, rerained
from models.rng import SampleRng
from models.training import distributed
from models.training.config import TrainConfig
from models.training.objectives import Objective, Supervised
from models.training.schedules import ema_decay
from models.training.semi.collapse import CollapseWatch
from models.training.semi.config import SemiConfig
from models.training.semi.contrast import FAINTEST, StreakContrast, background_ratio
from models.training.semi.data import RealRain, Targets
from models.training.semi.mean_teacher import MeanTeacher, confident, identity_loss_outside_rain, trust
from models.training.semi.rain_critic import RainCritic
from models.training.semi.validation import SemiScore, score

FIRST_LOOKS = 4
"""Batches of unlabelled photographs in the first look of the watch: the others are compared with it."""
STREAMS = ("watch", "rerain", "unlabelled", "pseudo_label", "temporal", "strong_view", "rain_on_rain")
"""Independent random streams: a term that is switched off does not change the draws of others."""


class SemiSupervised(Objective):
    """The terms of `SemiConfig` on labelled pairs and on real rain.

    Parameters
    ----------
    config : SemiConfig
        What counts how much.
    data : RealRain
        On the device of the training.
    start : Network
        What the training starts from: the mean teacher does too.
    critic : RainCritic, optional
        Feature space of the background contrast; needed where that is on.

    Raises
    ------
    ValueError
        If a critic is needed and not given.
    """

    def __init__(
        self, config: SemiConfig, data: RealRain, start: Network, critic: RainCritic | None = None
    ) -> None:
        super().__init__()
        if config.background_contrast and critic is None:
            raise ValueError(
                "background_contrast needs a rain critic: models.training.semi.rain_critic.train_critic"
            )
        self.config, self.data = config, data
        self._facts = {"semi": _plain(config), "real_rain": data.digest}
        self.watch = CollapseWatch()
        self.labelled = Supervised()
        self.teacher = MeanTeacher(start) if config.has_teacher else None
        self.streak_contrast = StreakContrast() if config.streak_contrast else None
        self.critic = critic if config.background_contrast else None

    @property
    def facts(self) -> dict[str, Any]:
        """Return configuration and data; see `Objective.facts`."""
        return self._facts

    def forward(self, network: Any, config: TrainConfig, step: int, pair: RainyPair) -> dict[str, Tensor]:
        """Return the terms, as `Objective.forward` says.

        Raises
        ------
        Collapsed
            If the network no longer derains.
        """
        freeze_norms(network)
        batch = _Batch(config, step, pair)
        if step % self.config.watch_every == 0:
            self._look(network, batch)
        if self.teacher is not None:
            self.teacher.follow(network, ema_decay(self.config.teacher_decay, step))
        terms = self._on_labelled(network, batch)
        if self.config.looks_at_unlabelled:
            terms |= self._on_unlabelled(network, batch)
        for name, targets in (("pseudo_label", self.data.pseudo_labels), ("temporal", self.data.temporal)):
            weight = getattr(self.config, name)
            if targets is not None and weight:
                terms |= self._on_targets(network, batch, name, targets, weight)
        if self.teacher is not None:
            terms |= self._of_teacher(network, self.teacher, batch)
        return terms

    def judge(self, network: nn.Module, pairs: ValidationSet) -> SemiScore:
        """Score weights as `models.training.semi.validation` does."""
        return score(network, pairs, self.data)

    @torch.no_grad()
    def _look(self, network: Any, batch: _Batch) -> None:
        looks = FIRST_LOOKS if batch.step == 0 else 1
        rain = []
        for number in range(looks):
            crops = self.data.crops(batch.rng("watch", number), batch.size)
            rain.append((crops - network(crops)).clamp(min=0).mean())
        self.watch.look(batch.step, (batch.pair.rainy - batch.pair.clean).clamp(min=0), torch.stack(rain))

    def _on_labelled(self, network: Any, batch: _Batch) -> dict[str, Tensor]:
        """The network's own loss on some labelled photographs; real streaks on the others."""
        count = len(batch.pair.clean)
        real = min(round(self.config.rerain_share * count), count - 1) if self.config.rerain else 0
        terms = self.labelled(network, batch.config, batch.step, _part(batch.pair, slice(0, count - real)))
        if real == 0:
            return dict(terms)
        clean = batch.pair.clean[count - real :]
        pair = rerained(batch.rng("rerain").subset(batch.last(real)), self.data.streaks, clean)
        derained = network(_channels_last(pair.rainy))
        terms = terms | {"rerain": self.config.rerain * psnr_term(derained, clean)}
        if self.critic is not None:
            ratio = self._ratio(derained, clean, pair.rainy, _rain_enough(pair.rainy, clean))
            terms |= {"background_contrast": self.config.background_contrast * ratio}
        return dict(terms)

    def _ratio(self, derained: Tensor, clean: Tensor, rainy: Tensor, trusted: Tensor) -> Tensor:
        """Background contrast of one scene three times, each as far as it is trusted, (B,) in [0, 1]."""
        assert self.critic is not None
        anchor, positive, negative = (self.critic.features(part) for part in (derained, clean, rainy))
        return (background_ratio(anchor, positive, negative) * trusted).sum() / (trusted > 0).sum().clamp(
            min=1
        )

    def _on_unlabelled(self, network: Any, batch: _Batch) -> dict[str, Tensor]:
        """Return the terms of the network on unlabelled photographs."""
        rainy = self.data.crops(batch.rng("unlabelled"), batch.size)
        derained = network(_channels_last(rainy))
        terms = {}
        if self.config.anchor:
            terms["anchor"] = self.config.anchor * identity_loss_outside_rain(derained, rainy)
        if self.streak_contrast is not None:
            rng = batch.rng("unlabelled", 1)
            real = real_streaks(rng, self.data.streaks, (batch.size, batch.size))
            contrast = self.streak_contrast(rng, derained, rainy, real)
            terms["streak_contrast"] = self.config.streak_contrast * contrast
        return terms

    def _on_targets(
        self, network: Any, batch: _Batch, name: str, targets: Targets, weight: float
    ) -> dict[str, Tensor]:
        """PSNR to targets that may be wrong; contrast with the same scene under strong rain."""
        rng = batch.rng(name)
        rainy, target, confidence = targets.crops(rng, batch.size)
        derained = network(_channels_last(rainy))
        terms = {name: weight * confident(derained, target, confidence)}
        if self.critic is not None:
            strong = rerained(rng, self.data.streaks, rainy).rainy
            trusted = _rain_enough(rainy, target) * confidence.mean((1, 2, 3))
            ratio = self._ratio(derained, target, strong, trusted)
            terms[f"{name}_contrast"] = self.config.background_contrast * ratio
        return terms

    def _of_teacher(self, network: Any, teacher: MeanTeacher, batch: _Batch) -> dict[str, Tensor]:
        """Terms whose target a mean teacher makes."""
        terms = {}
        if self.config.rain_on_rain:
            rng = batch.rng("rain_on_rain")
            rainy = self.data.crops(rng, batch.size)
            more = rerained(rng, self.data.streaks, rainy).rainy
            error = F.l1_loss(network(_channels_last(more)).float(), teacher(rainy).float())
            terms["rain_on_rain"] = self.config.rain_on_rain * error
        if self.config.mean_teacher:
            strong, target = self._views(teacher, batch)
            error = F.l1_loss(network(_channels_last(strong)).float(), target)
            weight = self.config.mean_teacher * trust(batch.step, batch.config.steps)
            terms["mean_teacher"] = weight * error
        return terms

    @torch.no_grad()
    def _views(self, teacher: MeanTeacher, batch: _Batch) -> tuple[Tensor, Tensor]:
        """Return the strong view of unlabelled photographs, and what the teacher makes of the weak one.

        Exposure and JPEG go on both: on the strong view alone they would train a denoiser.
        """
        rng = batch.rng("strong_view")
        rainy = self.data.crops(rng, batch.size)
        target = teacher(rainy, self.config.teacher_scales).float().clamp(0, 1)
        both = degradations.expose(rng, torch.cat((rainy, target), 1)).clamp(0, 1)
        quality = rng.uniform(60, 98)
        strong = rerained(rng, self.data.streaks, both[:, :3]).rainy
        return degradations.jpeg(strong, quality), degradations.jpeg(both[:, 3:], quality)


class _Batch:
    """One step's labelled pair, and the draws of everything else."""

    def __init__(self, config: TrainConfig, step: int, pair: RainyPair) -> None:
        self.config, self.step, self.pair = config, step, pair
        self.size = pair.clean.shape[-1]

    def rng(self, stream: str, number: int = 0) -> SampleRng:
        """Return the draws of a stream, a sample for each of the labelled batch; `number` keeps several apart."""
        count, device = len(self.pair.clean), self.pair.clean.device
        first = (self.step * distributed.world_size() + distributed.rank()) * count
        seed = self.config.seed + 1_000_003 * (1 + STREAMS.index(stream) + len(STREAMS) * number)
        return SampleRng(seed, torch.arange(first, first + count, device=device))

    def last(self, count: int) -> Tensor:
        """Mark the last samples of the batch, (B,)."""
        whole = len(self.pair.clean)
        return torch.arange(whole, device=self.pair.clean.device) >= whole - count


def freeze_norms(network: nn.Module) -> None:
    """Fix statistics and scales of every BatchNorm; done twice it changes nothing."""
    for part in network.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval().requires_grad_(False)


def _rain_enough(rainy: Tensor, clean: Tensor) -> Tensor:
    """Mark photographs with rain enough to be compared by, (B,)."""
    return (rainy - clean).clamp(min=0).mean((1, 2, 3)) > FAINTEST


def _plain(config: SemiConfig) -> dict[str, Any]:
    """Return a configuration as model files can hold it."""
    return {name: list(part) if isinstance(part, tuple) else part for name, part in asdict(config).items()}


def _part(pair: RainyPair, chosen: slice) -> RainyPair:
    return RainyPair(pair.rainy[chosen], pair.clean[chosen], pair.streaks[chosen])


def _channels_last(pictures: Tensor) -> Tensor:
    return pictures.contiguous(memory_format=torch.channels_last)
