"""Dual sample-augmented contrast: streaks with streaks, backgrounds with backgrounds.

A reconstruction of Semi-DRDNet's third network (arXiv 2204.02772), whose formulas could not be obtained: streaks as
in NLCL (Ye et al., CVPR 2022), with its numbers; backgrounds by the ratio of AECR-Net (Wu et al., CVPR 2021).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.rain.degradations import without_autocast
from models.rng import SampleRng
from models.structure_tensor import blurred

TEMPERATURE = 0.07
POSITIVES = 8
"""Number of patches that also show rain: half from the same photograph, half from the bank."""
NEGATIVES = 128
ANCHORS = 4
"""Number of patches per photograph that are pulled towards the positives."""
PATCH = 16
STRIDE = 8
EMBEDDING = 32
FAINTEST = 2 / 255
"""Photographs with less rain on average are left out: they show too little to compare."""
LEVEL_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Weights of the five levels of features, finest first (AECR-Net)."""
LEAST_DISTANCE = 0.02
"""Lower bound of the ratio's denominator, without which the ratio would explode under light rain."""


class StreakContrast(nn.Module):
    """Loss that makes patches of the rain layer similar to each other and to real streaks, unlike the background.

    Patches are high-pass filtered, scaled to unit variance and embedded by a small perceptron.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(PATCH**2, 64), nn.ReLU(), nn.Linear(64, EMBEDDING))

    def forward(self, rng: SampleRng, derained: Tensor, rainy: Tensor, real: Tensor) -> Tensor:
        """Return the InfoNCE loss of a batch.

        Parameters
        ----------
        rng : SampleRng
            Random numbers that choose the negatives; B samples.
        derained, rainy : Tensor
            (B, 3, H, W), at least 48 pixels high and wide.
        real : Tensor
            (B, 1, H, W) augmented layers of real streaks.

        Returns
        -------
        Tensor
            A scalar; 0 if no photograph has enough rain.
        """
        streaks = (rainy - derained).float().mean(1)
        has_rain = streaks.detach().clamp(min=0).mean((1, 2)) > FAINTEST
        rain, bank, background = (
            patches(picture) for picture in (streaks, real[:, 0], derained.float().mean(1))
        )
        same = strongest(rain, ANCHORS + POSITIVES // 2)
        positives = torch.cat((same[:, ANCHORS:], strongest(bank, POSITIVES // 2)), 1)
        embedded = [self._embedded(part) for part in (same[:, :ANCHORS], positives, _some(rng, background))]
        losses = info_nce(*embedded)
        return (losses * has_rain[:, None]).sum() / (ANCHORS * has_rain.sum().clamp(min=1))

    def _embedded(self, raw: Tensor) -> Tensor:
        embedded: Tensor = self.embed(normalised(raw))
        return F.normalize(embedded, dim=-1)


def patches(pictures: Tensor) -> Tensor:
    """Cut pictures (B, H, W) into high-pass filtered patches on a grid of L places, (B, L, PATCH^2)."""
    with without_autocast(pictures):
        high = pictures - blurred(pictures, 4.0, repeat_edges=True)
    return F.unfold(high[:, None], PATCH, stride=STRIDE).transpose(1, 2)


def strongest(cut: Tensor, count: int) -> Tensor:
    """Return the `count` patches of (B, L, P) with the greatest variance, (B, count, P)."""
    order = cut.detach().var(-1).topk(count, dim=1).indices
    return cut.gather(1, order[:, :, None].expand(-1, -1, cut.shape[-1]))


def normalised(cut: Tensor) -> Tensor:
    """Scale patches (..., P) to mean 0 and unit variance; flat ones stay flat."""
    centred = cut - cut.mean(-1, keepdim=True)
    return centred / (centred.var(-1, keepdim=True) + 1e-6).sqrt()


def info_nce(anchors: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Return -log(e^p / (e^p + sum e^n)) at temperature 0.07, averaged over positives (van den Oord et al., 2018).

    Parameters
    ----------
    anchors, positives, negatives : Tensor
        (B, A, D), (B, K, D) and (N, D), of unit length.

    Returns
    -------
    Tensor
        (B, A).
    """
    near = anchors @ positives.transpose(1, 2) / TEMPERATURE  # (B, A, K)
    far = torch.logsumexp(anchors @ negatives.T / TEMPERATURE, dim=-1, keepdim=True)  # (B, A, 1)
    return (torch.logaddexp(near, far) - near).mean(-1)


def background_ratio(
    anchor: Sequence[Tensor], positive: Sequence[Tensor], negative: Sequence[Tensor]
) -> Tensor:
    """Return the sum over levels of weight * |anchor - positive| / |anchor - negative|, (B,).

    All three are features of one scene: with another scene as negative, the denominator would not measure rain.

    Parameters
    ----------
    anchor, positive, negative : sequence of Tensor
        Features of `models.training.semi.rain_critic.RainCritic`, finest first, (B, C, h, w) each.
    """
    total = anchor[0].new_zeros(len(anchor[0]))
    for weight, level, like, unlike in zip(LEVEL_WEIGHTS, anchor, positive, negative, strict=True):
        near, far = ((level - other.detach()).abs().mean((1, 2, 3)) for other in (like, unlike))
        total = total + weight * near / far.clamp(min=LEAST_DISTANCE)
    return total


def _some(rng: SampleRng, cut: Tensor) -> Tensor:
    """Draw `NEGATIVES` patches from all photographs of a batch, (NEGATIVES, P)."""
    per_photograph = -(-NEGATIVES // len(cut))
    places = (rng.uniform(shape=(per_photograph,)) * cut.shape[1]).long().clamp(max=cut.shape[1] - 1)
    chosen = cut.gather(1, places[:, :, None].expand(-1, -1, cut.shape[-1]))
    return chosen.flatten(0, 1)[:NEGATIVES]
