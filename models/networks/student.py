"""The student: a small encoder-decoder with a bounded receptive field, no norm and no global operation.

The photograph is pixel-unshuffled (each 2x2 block becomes channels), run through a three-level residual
encoder-decoder of dense 3x3 convolutions, and the streaks found are subtracted from it. Two CPU cores train dense
convolutions fastest. Nothing in the network looks further than `receptive_radius` pixels, so that a tile with that
halo gives exactly the pixels of the whole photograph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.base import Features, Network, pad_to_multiple
from models.networks.blocks import crop_cells
from models.networks.growth import Silent, zero
from models.networks.losses import Reconstruction, reconstruction_terms
from models.pairs import RainyPair


@dataclass(frozen=True, slots=True)
class StudentConfig:
    """Sizes of a student. Widths and blocks go from the finest level to the coarsest."""

    unshuffle: int = 2
    widths: tuple[int, int, int] = (32, 64, 128)
    encoder_blocks: tuple[int, int] = (1, 2)
    middle_blocks: int = 3
    decoder_blocks: tuple[int, int] = (2, 2)

    @property
    def size_multiple(self) -> int:
        """Pixels that height and width are padded to a multiple of."""
        return self.unshuffle * 4

    @property
    def receptive_radius(self) -> int:
        """Distance in pixels of the farthest input pixel that can change an output pixel.

        A 3x3 convolution at a level whose pixels are s input pixels wide looks s further; a block has two. Levels
        below the finest treat all input pixels of a coarse pixel alike, which adds at most its width less one.
        """
        fine, mid, coarse = (self.unshuffle * scale for scale in (1, 2, 4))
        fine_convs = 2 + 2 * (self.encoder_blocks[0] + self.decoder_blocks[0])
        mid_convs = 2 * (self.encoder_blocks[1] + self.decoder_blocks[1])
        coarse_convs = 2 * self.middle_blocks
        return fine * fine_convs + mid * mid_convs + coarse * coarse_convs + coarse - 1

    @property
    def global_operation(self) -> bool:
        """False: tiles with a halo of `receptive_radius` give the pixels of the whole photograph."""
        return False


PRESETS = {
    "base": StudentConfig(),
    "large": StudentConfig(encoder_blocks=(2, 3), middle_blocks=6, decoder_blocks=(4, 4)),
    "small": StudentConfig(widths=(32, 48, 64), middle_blocks=2, decoder_blocks=(1, 1)),
    "tiny": StudentConfig(widths=(8, 8, 8), encoder_blocks=(1, 1), middle_blocks=1, decoder_blocks=(1, 1)),
}
"""Named students: `large`, grown from `base`, derains by default; `small` is the fastest; `tiny` is for tests."""


Levels = tuple[Tensor, Tensor, Tensor]
"""Features from the finest level to the coarsest, each of half the height and width of the one before."""


class ResidualBlock(nn.Module, Silent):
    """Two 3x3 convolutions whose result is added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Refine features of shape (B, width, H, W)."""
        refined: Tensor = self.second(F.relu(self.first(features), inplace=True))
        return refined.add_(features)  # autograd needs neither result of the convolutions

    def silence(self) -> None:
        """Add zeros to the features; see `Silent.silence`."""
        zero(self.second)


class Upsample(nn.Module):
    """Upsample a coarser level and add it to the features of the next finer one."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(coarse, 4 * fine, 1)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Add coarse features (B, C, H, W) to fine ones (B, c, 2H, 2W)."""
        return F.pixel_shuffle(self.expand(coarse), 2).add_(fine)


class Student(Network):
    """Derain photographs: `forward(rainy) -> derained`, any size in, the same size out.

    Parameters
    ----------
    config : StudentConfig
        Sizes.
    block : callable
        Builds a block that keeps the width of its features. Blocks other than the default are experiments
        (`benchmarks.learning.student_designs`); the receptive radius of the config does not hold for them.
    """

    config: StudentConfig
    can_widen: ClassVar[bool] = True
    costly_method: ClassVar[str] = "_levels"

    def __init__(self, config: StudentConfig, block: Callable[[int], nn.Module] = ResidualBlock) -> None:
        super().__init__()

        def blocks(width: int, count: int) -> nn.Sequential:
            return nn.Sequential(*(block(width) for _ in range(count)))

        self.config = config
        fine, mid, coarse = config.widths
        pixels = 3 * config.unshuffle**2
        self.stem = nn.Conv2d(pixels, fine, 3, padding=1)
        self.encode_fine = blocks(fine, config.encoder_blocks[0])
        self.to_mid = nn.Conv2d(fine, mid, 2, stride=2)
        self.encode_mid = blocks(mid, config.encoder_blocks[1])
        self.to_coarse = nn.Conv2d(mid, coarse, 2, stride=2)
        self.middle = blocks(coarse, config.middle_blocks)
        self.up_mid = Upsample(coarse, mid)
        self.decode_mid = blocks(mid, config.decoder_blocks[1])
        self.up_fine = Upsample(mid, fine)
        self.decode_fine = blocks(fine, config.decoder_blocks[0])
        self.head = nn.Conv2d(fine, pixels, 3, padding=1)
        zero(self.head)

    def forward(self, rainy: Tensor) -> Tensor:
        """Derain a batch; see `Network.forward`."""
        return self._derain(rainy)[0]

    @property
    def feature_widths(self) -> dict[int, int]:
        """Channels of the decoder's two levels and of the bottleneck; see `Network.feature_widths`."""
        return {self.config.unshuffle * 2**level: width for level, width in enumerate(self.config.widths)}

    def features(self, rainy: Tensor) -> Features:
        """Derain a batch and return the decoder's levels and the bottleneck; see `Network.features`."""
        derained, levels = self._derain(rainy)
        return Features(derained, self._cropped(rainy, levels), None)

    def loss_terms(self, pair: RainyPair, reconstruction: Reconstruction | None = None) -> dict[str, Tensor]:
        """Return the terms that training minimises; see `Network.loss_terms`."""
        rainy = pair.rainy.contiguous(memory_format=torch.channels_last)
        return (reconstruction or reconstruction_terms)(self(rainy), pair.clean)

    def _derain(self, rainy: Tensor) -> tuple[Tensor, Levels]:
        """Return the derained photographs and the levels of the padded ones, finest first."""
        padded = pad_to_multiple(rainy, self.config.size_multiple)
        levels = self._levels(padded.to(self.stem.weight.dtype))
        return self._without_streaks(rainy, padded, levels[0]), levels

    def _without_streaks(self, rainy: Tensor, padded: Tensor, decoded: Tensor) -> Tensor:
        """Subtract the streaks that the head finds in the finest level; remove the padding."""
        streaks = F.pixel_shuffle(self.head(decoded), self.config.unshuffle)
        height, width = rainy.shape[-2:]
        return (padded - streaks.to(rainy.dtype))[..., :height, :width]

    def _cropped(self, rainy: Tensor, levels: Levels) -> dict[int, Tensor]:
        """Return the levels without padding, by the width of their cells in pixels."""
        height, width = rainy.shape[-2:]
        return {
            cell: crop_cells(level, height, width, cell)
            for cell, level in zip(self.feature_widths, levels, strict=True)
        }

    def _levels(self, rainy: Tensor) -> Levels:
        """Run encoder, bottleneck and decoder."""
        return self._decode(self._encode(rainy))

    def _encode(self, rainy: Tensor) -> Levels:
        """Run encoder and bottleneck."""
        fine = self.encode_fine(self.stem(F.pixel_unshuffle(rainy, self.config.unshuffle)))
        mid = self.encode_mid(self.to_mid(fine))
        return fine, mid, self.middle(self.to_coarse(mid))

    def _decode(self, levels: Levels) -> Levels:
        """Run the decoder; the bottleneck stays unchanged."""
        fine, mid, coarse = levels
        mid = self.decode_mid(self.up_mid(coarse, mid))
        return self.decode_fine(self.up_fine(mid, fine)), mid, coarse
