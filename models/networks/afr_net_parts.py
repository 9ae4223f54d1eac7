"""Sizes of AFR-Net, its encoder and its two decoders; the refinement in between is `models.networks.afr`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.afr import MaskFields, MaskOutputs
from models.networks.blocks import (
    Block,
    DenseBlocks,
    Padding,
    ResidualBlock,
    TopDown,
    activate,
    conv,
    radius_of,
    residual_blocks,
    zero_conv,
)
from models.networks.losses import SCALE_WEIGHTS
from models.networks.receptive_field import ReceptiveField


@dataclass(frozen=True, slots=True)
class AfrNetSizes:
    """Sizes of an AFR-Net, by default those of the paper. Widths go from the finest level to the coarsest."""

    unshuffle: int = 1
    stem_kernel: int = 7
    widths: tuple[int, ...] = (32, 64, 64, 128)
    growth: tuple[int, ...] = (32, 64, 64, 128)
    """Channels that each layer of a dense block adds, per level."""
    layers: int = 3
    """3x3 convolutions in a dense block."""
    blocks: int = 2
    """Dense blocks at each level of the encoder and of the derain decoder."""
    mask_blocks: int = 1
    """Dense blocks at each level of the mask decoder."""
    opening_blocks: tuple[int, int, int] = (2, 3, 3)
    """Residual blocks that open the mask decoder, the derain decoder, and each branch of the refinement."""
    finishing_blocks: int = 2
    """Residual blocks at the finest level, before the heads of the two decoders."""
    rounds: int = 3
    separable: bool = True
    """Whether the refinement's residual blocks are depthwise-separable."""
    padding: Padding = "reflect"
    reconstruction: Literal["charbonnier", "squared"] = "charbonnier"
    """Loss: Charbonnier at all scales and the spectrum, or the paper's squared error."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.widths) <= len(SCALE_WEIGHTS) or len(self.widths) != len(self.growth):
            raise ValueError(
                f"widths {self.widths} and growth {self.growth}: give one of each per level, for 1 to"
                f" {len(SCALE_WEIGHTS)} levels"
            )


class Encoder(nn.Module):
    """Encode a photograph into levels, each half the size of the one before, by a convolution and dense blocks."""

    def __init__(self, config: AfrNetSizes) -> None:
        super().__init__()
        widths, padding = config.widths, config.padding
        self.stem = conv(3 * config.unshuffle**2, widths[0], config.stem_kernel, padding=padding)
        self.convs = nn.ModuleList(
            conv(before, width, stride=1 if level == 0 else 2, padding=padding)
            for level, (before, width) in enumerate(pairwise((widths[0], *widths)))
        )
        self.dense = nn.ModuleList(_dense(config, level, config.blocks) for level in range(len(widths)))

    def forward(self, rainy: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the stem's features and the levels, finest first, for unshuffled photographs."""
        stem = activate(self.stem(rainy))
        levels = [stem]
        for layer, dense in zip(self.convs, self.dense, strict=True):
            levels.append(dense(activate(layer(levels[-1]))))
        return stem, levels[1:]

    def receptive_field(self, rainy: ReceptiveField) -> tuple[ReceptiveField, list[ReceptiveField]]:
        """Return how far the stem and the levels look."""
        stem = rainy.conv(self.stem.kernel_size[0] // 2)
        first, *coarser = self.dense
        levels = [stem.conv().conv(radius_of(first))]
        for dense in coarser:
            levels.append(levels[-1].strided(3).conv(radius_of(dense)))
        return stem, levels


class MaskDecoder(nn.Module):
    """Decode the encoder's levels to a rain mask and features at the finest level."""

    def __init__(self, config: AfrNetSizes) -> None:
        super().__init__()
        self.decode = _decoder(config, config.opening_blocks[0], config.mask_blocks)
        self.finish = _finish(config)
        self.head = conv(config.widths[0], 1, padding=config.padding)

    def forward(self, stem: Tensor, levels: Sequence[Tensor]) -> MaskOutputs:
        """Return logits (B, 1, H, W) and features (B, widths[0], H, W)."""
        features = self.finish(self.decode(levels)[0] + stem)
        return MaskOutputs(self.head(features), features)

    def receptive_field(self, stem: ReceptiveField, levels: Sequence[ReceptiveField]) -> MaskFields:
        """Return how far the logits and features look."""
        features = (self.decode.receptive_field(levels)[0] | stem).conv(radius_of(self.finish))
        return MaskFields(features.conv(), features)


class DerainDecoder(nn.Module):
    """Turn refined levels into corrections that are added to the rainy image, at the scale of each level."""

    def __init__(self, config: AfrNetSizes) -> None:
        super().__init__()
        self.unshuffle = config.unshuffle
        self.decode = _decoder(config, config.opening_blocks[1], config.blocks)
        self.finish = _finish(config)
        self.heads = nn.ModuleList(
            zero_conv(width, 3 * config.unshuffle**2, config.padding) for width in config.widths
        )

    def forward(self, levels: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return corrections (B, 3, H / 2^i, W / 2^i) and the features that the heads read."""
        finest, *coarser = self.decode(levels)
        decoded = [self.finish(finest), *coarser]
        corrections = [
            F.pixel_shuffle(head(features), self.unshuffle)
            for head, features in zip(self.heads, decoded, strict=True)
        ]
        return corrections, decoded

    def receptive_field(self, levels: Sequence[ReceptiveField]) -> ReceptiveField:
        """Return how far the finest correction looks."""
        return self.decode.receptive_field(levels)[0].conv(radius_of(self.finish)).conv()


def _dense(config: AfrNetSizes, level: int, count: int) -> DenseBlocks:
    return DenseBlocks(config.widths[level], config.growth[level], config.layers, count, config.padding)


def _finish(config: AfrNetSizes) -> Block:
    return residual_blocks(config.widths[0], config.finishing_blocks, padding=config.padding)


def _decoder(config: AfrNetSizes, opening: int, dense: int) -> TopDown:
    return TopDown(
        config.widths,
        residual_blocks(config.widths[-1], opening, padding=config.padding),
        skip=lambda level: ResidualBlock(config.widths[level], padding=config.padding),
        merged=lambda level: _dense(config, level, dense),
    )
