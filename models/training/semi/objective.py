"""Semi-supervised training of any network (`SemiSupervised`): labelled pairs, and real rain without labels.

With DRD-Net this is a reconstruction of Semi-DRDNet (arXiv 2204.02772), whose formulas could not be obtained; it is
based on re-rain. It continues a training: it starts from trained weights, at a low learning rate, and with
BatchNorm frozen, because real and synthetic rain differ in their statistics.
"""

from __future__ import annotations

from dataclasses import asdict
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor, nn

from models.evaluation.validation import ValidationSet
from models.networks.losses import masked_psnr_term, psnr_term
from models.pairs import RainyPair
from models.rain.real_streaks import real_streaks, rerained
from models.rng import SampleRng
from models.training import distributed
from models.training.config import TrainConfig
from models.training.objectives import Objective, Supervised
from models.training.semi.collapse import CollapseWatch
from models.training.semi.config import SemiConfig
from models.training.semi.contrast import FAINTEST, StreakContrast, background_ratio
from models.training.semi.data import RealRain, Targets
from models.training.semi.gradient_share import GradientShare, ramp
from models.training.semi.rain_critic import RainCritic
from models.training.semi.validation import SemiScore, score

FIRST_LOOKS = 4
"""Number of unlabelled batches in the first look of the watch, with which later looks are compared."""
STREAM_NUMBERS = 7
"""Number of random streams; those that `Stream` does not name are for terms of subclasses."""


class Stream(IntEnum):
    """Independent random streams, so that switching a term off does not change the draws of others."""

    WATCH = 0
    RERAIN = 1
    UNLABELLED = 2
    TEMPORAL = 4


class SemiSupervised(Objective):
    """The terms of `SemiConfig` on labelled pairs and on real rain.

    Parameters
    ----------
    config : SemiConfig
        Weights of the terms.
    data : RealRain
        Real rain, on the device of the training.
    critic : RainCritic, optional
        Feature space of the background contrast; needed if that is on.

    Raises
    ------
    ValueError
        If a critic is needed but not given.
    """

    def __init__(self, config: SemiConfig, data: RealRain, critic: RainCritic | None = None) -> None:
        super().__init__()
        if config.background_contrast and critic is None:
            raise ValueError(
                "background_contrast needs a rain critic: models.training.semi.rain_critic.train_critic"
            )
        self.config, self.data = config, data
        self._facts = {"semi": asdict(config), "real_rain": data.digest}
        self.watch = CollapseWatch()
        self.labelled = Supervised()
        self.streak_contrast = StreakContrast() if config.streak_contrast else None
        self.critic = critic if config.background_contrast else None

    @property
    def facts(self) -> dict[str, Any]:
        """Configuration and digest of the data; see `Objective.facts`."""
        return self._facts

    def forward(self, network: Any, config: TrainConfig, step: int, pair: RainyPair) -> dict[str, Tensor]:
        """Return the terms; see `Objective.forward`.

        Raises
        ------
        Collapsed
            If the network no longer derains.
        """
        freeze_norms(network)
        batch = StepBatch(config, step, pair)
        if step % self.config.watch_every == 0:
            self._look(network, batch)
        terms, share = self._on_labelled(network, batch)
        if self.streak_contrast is not None and share is not None:
            terms |= self._on_unlabelled(network, self.streak_contrast, batch, share)
        if self.data.temporal is not None and self.config.temporal:
            rng, weight = batch.rng(Stream.TEMPORAL), self.config.temporal
            terms |= self._on_targets(network, batch, rng, "temporal", weight, self.data.temporal)
        return terms

    def score(self, network: nn.Module, pairs: ValidationSet) -> SemiScore:
        """Score weights as `models.training.semi.validation` does."""
        return score(network, pairs, self.data)

    @torch.no_grad()
    def _look(self, network: Any, batch: StepBatch) -> None:
        looks = FIRST_LOOKS if batch.step == 0 else 1
        rain = []
        for number in range(looks):
            crops = self.data.crops(batch.rng(Stream.WATCH, number), batch.size)
            rain.append((crops - network(crops)).clamp(min=0).mean())
        self.watch.look(batch.step, (batch.pair.rainy - batch.pair.clean).clamp(min=0), torch.stack(rain))

    def _on_labelled(self, network: Any, batch: StepBatch) -> tuple[dict[str, Tensor], GradientShare | None]:
        """Return the network's own loss on some labelled photographs, and PSNR under real streaks on the others.

        The contrasts are scaled to the gradient of the latter.
        """
        count = len(batch.pair.clean)
        real = min(round(self.config.rerain_share * count), count - 1) if self.config.rerain else 0
        terms = self.labelled(network, batch.config, batch.step, _part(batch.pair, slice(0, count - real)))
        if real == 0:
            return dict(terms), None
        clean = batch.pair.clean[count - real :]
        pair = rerained(batch.rng(Stream.RERAIN).subset(batch.last(real)), self.data.streaks, clean)
        derained = _derained(network, pair.rainy)
        rerain = self.config.rerain * psnr_term(derained, clean)
        terms = terms | {"rerain": rerain}
        if not self.config.has_contrast:
            return dict(terms), None
        share = GradientShare.of(rerain, derained)
        if self.critic is not None:
            ratio = self._ratio(derained, clean, pair.rainy, _has_rain(pair.rainy, clean))
            weight = self.config.background_contrast * ramp(batch.step)
            terms |= {"background_contrast": share.scaled(ratio, derained, weight)}
        return dict(terms), share

    def _ratio(self, derained: Tensor, clean: Tensor, rainy: Tensor, trusted: Tensor) -> Tensor:
        """Return the background contrast of three versions of each scene, weighted by trust, (B,) in [0, 1]."""
        assert self.critic is not None
        anchor, positive, negative = (self.critic.features(part) for part in (derained, clean, rainy))
        return (background_ratio(anchor, positive, negative) * trusted).sum() / (trusted > 0).sum().clamp(
            min=1
        )

    def _on_unlabelled(
        self, network: Any, contrast: StreakContrast, batch: StepBatch, share: GradientShare
    ) -> dict[str, Tensor]:
        """Return the contrast of streaks on unlabelled photographs."""
        rainy = self.data.crops(batch.rng(Stream.UNLABELLED), batch.size)
        derained = _derained(network, rainy)
        rng = batch.rng(Stream.UNLABELLED, 1)
        real = real_streaks(rng, self.data.streaks, (batch.size, batch.size))
        weight = self.config.streak_contrast * ramp(batch.step)
        return {"streak_contrast": share.scaled(contrast(rng, derained, rainy, real), derained, weight)}

    def _on_targets(
        self, network: Any, batch: StepBatch, rng: SampleRng, name: str, weight: float, targets: Targets
    ) -> dict[str, Tensor]:
        """Return PSNR to uncertain targets, and the contrast with the same scene under strong rain."""
        rainy, target, confidence = targets.crops(rng, batch.size)
        derained = _derained(network, rainy)
        terms = {name: weight * masked_psnr_term(derained, target, confidence)}
        if self.critic is not None:
            strong = rerained(rng, self.data.streaks, rainy).rainy
            trusted = _has_rain(rainy, target) * confidence.mean((1, 2, 3))
            ratio = self._ratio(derained, target, strong, trusted)
            share = GradientShare.of(terms[name], derained)
            contrast = self.config.background_contrast * ramp(batch.step)
            terms[f"{name}_contrast"] = share.scaled(ratio, derained, contrast)
        return terms


class StepBatch:
    """The labelled pair of one step, and the random numbers of everything else."""

    def __init__(self, config: TrainConfig, step: int, pair: RainyPair) -> None:
        self.config, self.step, self.pair = config, step, pair
        self.size = pair.clean.shape[-1]

    def rng(self, stream: int, number: int = 0) -> SampleRng:
        """Return the random numbers of a stream, one sample per labelled crop; `number` gives further streams."""
        count, device = len(self.pair.clean), self.pair.clean.device
        first = (self.step * distributed.world_size() + distributed.rank()) * count
        seed = self.config.seed + 1_000_003 * (1 + stream + STREAM_NUMBERS * number)
        return SampleRng(seed, torch.arange(first, first + count, device=device))

    def last(self, count: int) -> Tensor:
        """Mark the last `count` samples of the batch, (B,)."""
        whole = len(self.pair.clean)
        return torch.arange(whole, device=self.pair.clean.device) >= whole - count


def freeze_norms(network: nn.Module) -> None:
    """Freeze the statistics and parameters of every BatchNorm; idempotent."""
    for part in network.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval().requires_grad_(False)


def _derained(network: Any, rainy: Tensor) -> Tensor:
    """Derain (B, 3, H, W); return a view, because Fabric forbids gradients with respect to the output itself."""
    derained: Tensor = network(channels_last(rainy))
    return derained.view_as(derained)


def _has_rain(rainy: Tensor, clean: Tensor) -> Tensor:
    """Mark photographs with enough rain for the contrast, (B,)."""
    return (rainy - clean).clamp(min=0).mean((1, 2, 3)) > FAINTEST


def _part(pair: RainyPair, chosen: slice) -> RainyPair:
    return RainyPair(pair.rainy[chosen], pair.clean[chosen], pair.streaks[chosen])


def channels_last(pictures: Tensor) -> Tensor:
    """Convert pictures (B, 3, H, W) to the memory format in which convolutions on a CPU are fastest."""
    return pictures.contiguous(memory_format=torch.channels_last)
