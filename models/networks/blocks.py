"""Building blocks of AFR-Net, without norms; each knows its receptive field."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.receptive_field import ReceptiveField

Padding = Literal["reflect", "zeros"]
"""Padding of a convolution; `reflect` needs more cells per side than it pads."""
SLOPE = 0.1
"""Negative slope of the leaky ReLU."""
RESIDUAL_GAIN = 0.1
"""Initial scale of the last convolution of a residual branch (ours): without a norm, features would otherwise grow
with every block of the refinement."""


def activate(features: Tensor) -> Tensor:
    """Apply the leaky ReLU of all blocks."""
    return F.leaky_relu(features, SLOPE)


def conv(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, padding: Padding = "zeros"
) -> nn.Conv2d:
    """Build a convolution that keeps the size at stride 1 and halves an even one at stride 2."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, padding_mode=padding)
    initialise(layer)
    return layer


def zero_conv(inputs: int, outputs: int, padding: Padding = "zeros") -> nn.Conv2d:
    """Build a 3x3 convolution whose output is zero before training."""
    layer = conv(inputs, outputs, padding=padding)
    nn.init.zeros_(layer.weight)
    return layer


def up(coarse: int, fine: int) -> nn.ConvTranspose2d:
    """Build a transposed 3x3 convolution that doubles height and width."""
    layer = nn.ConvTranspose2d(coarse, fine, 3, stride=2, padding=1, output_padding=1)
    initialise(layer)
    return layer


def initialise(layer: nn.Conv2d | nn.ConvTranspose2d, gain: float = 1.0) -> None:
    """Draw weights uniformly as Glorot and Bengio (2010) do, counting only the inputs that a group sees."""
    widths = (layer.in_channels + layer.out_channels) // layer.groups
    bound = gain * math.sqrt(6 / (math.prod(layer.kernel_size) * widths))
    nn.init.uniform_(layer.weight, -bound, bound)
    assert layer.bias is not None  # every convolution here has one
    nn.init.zeros_(layer.bias)


def crop_cells(features: Tensor, height: int, width: int, cell: int) -> Tensor:
    """Keep the cells, each `cell` pixels wide, that overlap a photograph of this height and width."""
    return features[..., : -(-height // cell), : -(-width // cell)]


class Block(nn.Module):
    """Base class of parts that keep width and size, and look `radius` cells to each side."""

    radius: int


class Blocks(Block):
    """Blocks one after the other."""

    def __init__(self, *blocks: Block) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.radius = sum(block.radius for block in blocks)

    def forward(self, features: Tensor) -> Tensor:
        """Run features of shape (B, width, H, W) through all blocks."""
        refined: Tensor = self.blocks(features)
        return refined


class ResidualBlock(Block):
    """Two 3x3 convolutions, plain or depthwise-separable, whose result is added to the input."""

    radius = 2

    def __init__(self, width: int, separable: bool = False, padding: Padding = "zeros") -> None:
        super().__init__()
        layer = _separable_conv if separable else _plain_conv
        self.first = layer(width, padding, gain=1.0)
        self.second = layer(width, padding, gain=RESIDUAL_GAIN)

    def forward(self, features: Tensor) -> Tensor:
        """Refine features of shape (B, width, H, W)."""
        refined: Tensor = self.second(activate(self.first(features)))
        return features + refined


def residual_blocks(width: int, count: int, separable: bool = False, padding: Padding = "zeros") -> Blocks:
    """Build `count` residual blocks, one after the other."""
    return Blocks(*(ResidualBlock(width, separable, padding) for _ in range(count)))


def _plain_conv(width: int, padding: Padding, gain: float) -> nn.Module:
    layer = conv(width, width, padding=padding)
    initialise(layer, gain)
    return layer


def _separable_conv(width: int, padding: Padding, gain: float) -> nn.Module:
    depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width, padding_mode=padding)
    pointwise = nn.Conv2d(width, width, 1)
    initialise(depthwise)
    initialise(pointwise, gain)
    return nn.Sequential(depthwise, pointwise)


class DenseBlock(Block):
    """3x3 convolutions that each see the input and all earlier outputs; a 1x1 convolution fuses them.

    The fused result is added to the input. Dense connections are the ordinary ones (Huang et al., 2017): each
    layer also sees the one right before it.
    """

    def __init__(self, width: int, growth: int, layers: int, padding: Padding = "zeros") -> None:
        super().__init__()
        self.radius = layers
        self.layers = nn.ModuleList(
            conv(width + layer * growth, growth, padding=padding) for layer in range(layers)
        )
        self.fuse = nn.Conv2d(width + layers * growth, width, 1)
        initialise(self.fuse, RESIDUAL_GAIN)

    def forward(self, features: Tensor) -> Tensor:
        """Refine features of shape (B, width, H, W)."""
        seen = features
        for layer in self.layers:
            seen = torch.cat((seen, activate(layer(seen))), 1)
        refined: Tensor = self.fuse(seen)
        return features + refined


class DenseBlocks(Block):
    """Dense blocks one after the other, all their outputs fused by a 1x1 convolution: dense on two levels."""

    def __init__(self, width: int, growth: int, layers: int, count: int, padding: Padding = "zeros") -> None:
        super().__init__()
        self.radius = count * layers
        self.blocks = nn.ModuleList(DenseBlock(width, growth, layers, padding) for _ in range(count))
        self.fuse = conv(count * width, width, kernel=1)

    def forward(self, features: Tensor) -> Tensor:
        """Refine features of shape (B, width, H, W)."""
        outputs = [features]
        for block in self.blocks:
            outputs.append(block(outputs[-1]))
        fused: Tensor = self.fuse(torch.cat(outputs[1:], 1))
        return fused


class TopDown(nn.Module):
    """Decode levels from the coarsest to the finest: refine, double, add the finer level, refine.

    Parameters
    ----------
    widths : sequence of int
        Channels per level, finest first; each level has half the height and width of the one before.
    opening : Block
        Refines the coarsest level.
    skip, merged : callable
        Build the blocks that refine a finer level before and after the addition, given its number (0: finest).
    """

    def __init__(
        self,
        widths: Sequence[int],
        opening: Block,
        skip: Callable[[int], Block],
        merged: Callable[[int], Block],
    ) -> None:
        super().__init__()
        finer = range(len(widths) - 1)
        self.opening = opening
        self.ups = nn.ModuleList(up(coarse, fine) for fine, coarse in pairwise(widths))
        self.skips = nn.ModuleList(skip(level) for level in finer)
        self.merged = nn.ModuleList(merged(level) for level in finer)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return the decoded levels, of the same shapes, finest first."""
        decoded = [self.opening(levels[-1])]
        parts = zip(levels[:-1], self.ups, self.skips, self.merged, strict=True)
        for level, up_, skip, merged in reversed(list(parts)):
            decoded.insert(0, merged(up_(decoded[0]) + skip(level)))
        return decoded

    def receptive_field(self, levels: Sequence[ReceptiveField]) -> list[ReceptiveField]:
        """Return how far each decoded level looks."""
        decoded = [levels[-1].conv(radius_of(self.opening))]
        for level, skip, merged in reversed(list(zip(levels[:-1], self.skips, self.merged, strict=True))):
            joined = decoded[0].transposed(3) | level.conv(radius_of(skip))
            decoded.insert(0, joined.conv(radius_of(merged)))
        return decoded


class BottomUp(nn.Module):
    """Encode levels back from the finest to the coarsest: refine, halve, add the coarser level, refine."""

    def __init__(
        self,
        widths: Sequence[int],
        opening: Block,
        skip: Callable[[int], Block],
        merged: Callable[[int], Block],
        padding: Padding = "zeros",
    ) -> None:
        super().__init__()
        coarser = range(1, len(widths))
        self.opening = opening
        self.downs = nn.ModuleList(
            conv(fine, coarse, stride=2, padding=padding) for fine, coarse in pairwise(widths)
        )
        self.skips = nn.ModuleList(skip(level) for level in coarser)
        self.merged = nn.ModuleList(merged(level) for level in coarser)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return the encoded levels, of the same shapes, finest first."""
        encoded = [self.opening(levels[0])]
        parts = zip(levels[1:], self.downs, self.skips, self.merged, strict=True)
        for level, down, skip, merged in parts:
            encoded.append(merged(down(encoded[-1]) + skip(level)))
        return encoded

    def receptive_field(self, levels: Sequence[ReceptiveField]) -> list[ReceptiveField]:
        """Return how far each encoded level looks."""
        encoded = [levels[0].conv(radius_of(self.opening))]
        for level, skip, merged in zip(levels[1:], self.skips, self.merged, strict=True):
            joined = encoded[-1].strided(3) | level.conv(radius_of(skip))
            encoded.append(joined.conv(radius_of(merged)))
        return encoded


def radius_of(block: nn.Module) -> int:
    """Return the radius of a block's receptive field in cells."""
    assert isinstance(block, Block)  # module lists lose the types of their items
    return block.radius
