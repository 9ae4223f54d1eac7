"""AFR-Net, the teacher: an encoder, a mask decoder, rounds of feature refinement and a derain decoder.

Wang, Sun, Sowmya, IEEE TIP 30:3734-3747, 2021, doi 10.1109/TIP.2021.3064229. Levels, widths, kernels, weights
of the losses and the order of the parts are those of the authors' code. Ours: the number of residual blocks in
the decoders, chosen so that `paper` has that code's size and cost; ordinary dense connections; Charbonnier and
spectrum as the default loss, cross-entropy for the mask; smaller initial weights at the end of each residual
branch; and a residual output: the heads are zero at first and add to the rainy image at their scale, so that a
new network returns its input at every scale. The cheaper presets use `unshuffle`, which feeds blocks of pixels as
channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from models.networks.afr import Afr
from models.networks.afr_net_parts import AfrNetSizes, DerainDecoder, Encoder, MaskDecoder
from models.networks.base import Features, Network, pad_to_multiple
from models.networks.blocks import crop_cells
from models.networks.losses import (
    FREQUENCY_WEIGHT,
    Reconstruction,
    charbonnier,
    frequency,
    mask_term,
    scale_terms,
    shrink,
    squared,
)
from models.networks.receptive_field import ReceptiveField, input_receptive_field, radius_without_weights
from models.pairs import RainyPair


@dataclass(frozen=True, slots=True)
class AfrNetConfig(AfrNetSizes):
    """Sizes of an AFR-Net, and the properties that follow from them."""

    global_operation: ClassVar[bool] = False
    """Nothing in the network looks at the whole photograph at once."""

    @property
    def size_multiple(self) -> int:
        """Pixels that height and width are padded to a multiple of."""
        return int(self.unshuffle * 2 ** (len(self.widths) - 1))

    @property
    def receptive_radius(self) -> int:
        """Distance in pixels of the farthest input pixel that can change an output pixel."""
        return radius_without_weights(AfrNet, self)


PRESETS = {
    "paper": AfrNetConfig(),
    "mid": AfrNetConfig(
        unshuffle=2, stem_kernel=5, widths=(48, 64, 96, 128), growth=(24, 32, 48, 64), padding="zeros"
    ),
    "slim": AfrNetConfig(
        unshuffle=4,
        stem_kernel=3,
        widths=(48, 64, 64),
        growth=(24, 32, 32),
        layers=2,
        blocks=1,
        opening_blocks=(1, 1, 1),
        finishing_blocks=0,
        rounds=2,
        separable=False,  # on a CPU, plain convolutions do twice as many multiplications per second
        padding="zeros",
    ),
    "tiny": AfrNetConfig(
        unshuffle=2,
        stem_kernel=3,
        widths=(8, 8, 8),
        growth=(4, 4, 4),
        layers=2,
        blocks=1,
        opening_blocks=(1, 1, 1),
        finishing_blocks=1,
        rounds=2,
        padding="zeros",
    ),
}
"""Named AFR-Nets: `paper` as published, `mid` for a GPU, `slim` for two cores, `tiny` for tests."""


@dataclass(frozen=True, slots=True)
class AfrOutputs:
    """Outputs for training and distillation; all lists go from the finest level to the coarsest.

    `derained` are (B, 3, ceil(H / 2^i), ceil(W / 2^i)), not clipped; `mask_logits` (B, 1, ceil(H / u),
    ceil(W / u)) with u = `unshuffle`. Features cover the padded photograph, whose sides are multiples of
    `size_multiple`: (B, widths[i], H / (u 2^i), W / (u 2^i)).
    """

    derained: list[Tensor]
    mask_logits: Tensor
    refined: list[Tensor]
    """The encoder's levels after all rounds of refinement."""
    decoded: list[Tensor]
    """The derain decoder's levels, which the heads read."""


class AfrNet(Network):
    """Derain photographs: `forward(rainy) -> derained`, any size in, the same size out."""

    config: AfrNetConfig
    costly_method: ClassVar[str] = "outputs"

    def __init__(self, config: AfrNetConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.mask_decoder = MaskDecoder(config)
        self.afr = Afr(
            config.widths,
            config.widths[0],
            config.rounds,
            config.separable,
            config.padding,
            config.opening_blocks[2],
        )
        self.derain_decoder = DerainDecoder(config)

    def forward(self, rainy: Tensor) -> Tensor:
        """Derain a batch; see `Network.forward`."""
        return self.outputs(rainy).derained[0]

    def outputs(self, rainy: Tensor) -> AfrOutputs:
        """Derain a batch (B, 3, H, W) in [0, 1] at all scales; return the intermediate results too."""
        padded = self._pad(rainy)
        unshuffled = F.pixel_unshuffle(padded.to(self.encoder.stem.weight.dtype), self.config.unshuffle)
        stem, levels = self.encoder(unshuffled)
        mask = self.mask_decoder(stem, levels)
        refined = self.afr(levels, mask)
        corrections, decoded = self.derain_decoder(refined)
        height, width = rainy.shape[-2:]
        derained = [
            shrink(rainy, 2**level) + crop_cells(correction.to(rainy.dtype), height, width, 2**level)
            for level, correction in enumerate(corrections)
        ]
        mask_logits = crop_cells(mask.logits, height, width, self.config.unshuffle)
        return AfrOutputs(derained, mask_logits, refined, decoded)

    @property
    def feature_widths(self) -> dict[int, int]:
        """Channels of the refined levels; see `Network.feature_widths`."""
        return {self.config.unshuffle * 2**level: width for level, width in enumerate(self.config.widths)}

    def features(self, rainy: Tensor) -> Features:
        """Derain a batch and return the refined levels and the rain mask; see `Network.features`."""
        outputs = self.outputs(rainy)
        height, width = rainy.shape[-2:]
        levels = {
            cell: crop_cells(level, height, width, cell)
            for cell, level in zip(self.feature_widths, outputs.refined, strict=True)
        }
        return Features(outputs.derained[0], levels, torch.sigmoid(outputs.mask_logits))

    def loss_terms(self, pair: RainyPair, reconstruction: Reconstruction | None = None) -> dict[str, Tensor]:
        """Return the terms (see `Network.loss_terms`); a given `reconstruction` sees the full scale alone."""
        outputs = self.outputs(pair.rainy.contiguous(memory_format=torch.channels_last))
        mask = {"mask": mask_term(outputs.mask_logits, pair.rain_mask)}
        if reconstruction is not None:
            return reconstruction(outputs.derained[0], pair.clean) | mask
        if self.config.reconstruction == "squared":
            return scale_terms(outputs.derained, pair.clean, squared) | mask
        spectrum = frequency(outputs.derained[0].float(), pair.clean.float())
        terms = scale_terms(outputs.derained, pair.clean, charbonnier)
        return terms | {"frequency": FREQUENCY_WEIGHT * spectrum} | mask

    def receptive_field(self) -> ReceptiveField:
        """Return how far the derained photograph looks."""
        stem, levels = self.encoder.receptive_field(
            input_receptive_field(self.config.unshuffle, self.config.size_multiple)
        )
        mask = self.mask_decoder.receptive_field(stem, levels)
        return self.derain_decoder.receptive_field(self.afr.receptive_field(levels, mask))

    def _pad(self, rainy: Tensor) -> Tensor:
        """Pad to at least two cells of the coarsest level: a single one has nothing to reflect."""
        least = max(2 * self.config.size_multiple, self.config.stem_kernel * self.config.unshuffle)
        return pad_to_multiple(rainy, self.config.size_multiple, least)
