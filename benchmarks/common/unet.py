"""A plain U-Net with or without AFR between encoder and decoder, to measure the gain of AFR in an ordinary network.

Ronneberger et al., "U-Net", MICCAI 2015: two 3x3 convolutions per level, each level half the size of the one
before, concatenated skips. Ours: no norm, strided convolutions instead of pooling, and, as in the student, blocks
of pixels as channels and a residual output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.afr import AfrPlugin
from models.networks.base import Network, pad_to_multiple
from models.networks.blocks import activate, conv, crop_cells, zero_conv
from models.networks.losses import Reconstruction, mask_term, reconstruction_terms
from models.networks.receptive_field import ReceptiveField, input_receptive_field, radius_without_weights
from models.pairs import RainyPair


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """Sizes of a U-Net. Widths go from the finest level to the coarsest."""

    unshuffle: int = 2
    widths: tuple[int, ...] = (32, 64, 96)
    afr_rounds: int = 0
    """Rounds of feature refinement between encoder and decoder; 0 gives a plain U-Net without a mask branch."""
    afr_separable: bool = True

    global_operation: ClassVar[bool] = False
    """Nothing in the network looks at the whole photograph at once."""

    @property
    def size_multiple(self) -> int:
        """Pixels that height and width are padded to a multiple of."""
        return int(self.unshuffle * 2 ** (len(self.widths) - 1))

    @property
    def receptive_radius(self) -> int:
        """Distance in pixels of the farthest input pixel that can change an output pixel."""
        return radius_without_weights(UNet, self)


PRESETS = {
    "slim": UNetConfig(),
    "slim-afr": UNetConfig(afr_rounds=2),
    "tiny": UNetConfig(widths=(8, 8)),
    "tiny-afr": UNetConfig(widths=(8, 8), afr_rounds=2),
}
"""Named U-Nets, each with and without AFR; `tiny` is for tests."""


class ConvPair(nn.Module):
    """Two 3x3 convolutions, each followed by a leaky ReLU."""

    radius = 2

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.first = conv(inputs, width)
        self.second = conv(width, width)

    def forward(self, features: Tensor) -> Tensor:
        """Convolve features (B, inputs, H, W) to (B, width, H, W)."""
        return activate(self.second(activate(self.first(features))))


class UNet(Network):
    """Derain photographs: `forward(rainy) -> derained`, any size in, the same size out."""

    config: UNetConfig
    costly_method: ClassVar[str] = "_derain"

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        levels = list(pairwise(widths))
        pixels = 3 * config.unshuffle**2
        self.encode = nn.ModuleList(ConvPair(before, width) for before, width in pairwise((pixels, *widths)))
        self.downs = nn.ModuleList(nn.Conv2d(fine, fine, 2, stride=2) for fine, _ in levels)
        self.afr = AfrPlugin(widths, config.afr_rounds, config.afr_separable) if config.afr_rounds else None
        self.ups = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in levels)
        self.decode = nn.ModuleList(ConvPair(2 * fine, fine) for fine, _ in levels)
        self.head = zero_conv(widths[0], pixels)

    def forward(self, rainy: Tensor) -> Tensor:
        """Derain a batch; see `Network.forward`."""
        return self._derain(rainy)[0]

    def loss_terms(self, pair: RainyPair, reconstruction: Reconstruction | None = None) -> dict[str, Tensor]:
        """Return the terms (see `Network.loss_terms`), the mask's only with AFR."""
        derained, mask_logits = self._derain(pair.rainy.contiguous(memory_format=torch.channels_last))
        terms = (reconstruction or reconstruction_terms)(derained, pair.clean)
        if mask_logits is None:
            return terms
        return terms | {"mask": mask_term(mask_logits, pair.rain_mask)}

    def receptive_field(self) -> ReceptiveField:
        """Return how far the derained photograph looks."""
        levels = [
            input_receptive_field(self.config.unshuffle, self.config.size_multiple).conv(ConvPair.radius)
        ]
        for _ in self.downs:
            levels.append(levels[-1].strided(2).conv(ConvPair.radius))
        if self.afr is not None:
            levels = self.afr.receptive_field(levels)
        decoded = levels.pop()
        for level in reversed(levels):
            decoded = (decoded.transposed(2) | level).conv(ConvPair.radius)
        return decoded.conv()

    def _derain(self, rainy: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the derained photographs and, with AFR, the logits of the rain mask."""
        height, width = rainy.shape[-2:]
        padded = pad_to_multiple(rainy, self.config.size_multiple)
        levels = self._encode(F.pixel_unshuffle(padded.to(self.head.weight.dtype), self.config.unshuffle))
        mask_logits = None
        if self.afr is not None:
            refined = self.afr(levels)
            levels = refined.features
            mask_logits = crop_cells(refined.mask_logits, height, width, self.config.unshuffle)
        correction = F.pixel_shuffle(self.head(self._decode(levels)), self.config.unshuffle)
        return (padded + correction.to(rainy.dtype))[..., :height, :width], mask_logits

    def _encode(self, pixels: Tensor) -> list[Tensor]:
        first, *coarser = self.encode
        levels: list[Tensor] = [first(pixels)]
        for down, block in zip(self.downs, coarser, strict=True):
            levels.append(block(down(levels[-1])))
        return levels

    def _decode(self, levels: Sequence[Tensor]) -> Tensor:
        decoded = levels[-1]
        for level, up, block in reversed(list(zip(levels[:-1], self.ups, self.decode, strict=True))):
            decoded = block(torch.cat((level, up(decoded)), 1))
        return decoded
