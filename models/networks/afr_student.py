"""AFR-Net built on the student: the student's encoder and decoder, with gated rounds of AFR between them.

The paper describes AFR-Net as a general encoder-decoder with a series of AFR modules (Wang, Sun, Sowmya, IEEE TIP
30, 2021). Here the encoder-decoder is the student's: this network starts as a trained student, because the gates
are zero at first, and the gain of refinement can be distilled back into a student, which has no rounds. Ours: the
gates, one number per channel, and the light mask branch of `models.networks.afr.AfrPlugin`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from models.networks.afr import AfrPlugin, RefinedFeatures
from models.networks.base import Features, pad_to_multiple
from models.networks.blocks import crop_cells
from models.networks.growth import Silent
from models.networks.losses import Reconstruction, mask_term, reconstruction_terms
from models.networks.receptive_field import ReceptiveField, input_receptive_field, radius_without_weights
from models.networks.student import PRESETS as STUDENTS
from models.networks.student import Levels, Student, StudentConfig
from models.pairs import RainyPair


@dataclass(frozen=True, slots=True)
class AfrStudentConfig(StudentConfig):
    """Sizes of the student and of the rounds between its encoder and decoder."""

    afr_rounds: int = 1
    afr_separable: bool = True
    """Whether the residual blocks of the rounds are depthwise-separable, as in the paper."""
    opening_blocks: int = 1
    """Residual blocks that open the left and the right branch of a round."""

    @property
    def receptive_radius(self) -> int:
        """Distance in pixels of the farthest input pixel that can change an output pixel."""
        return radius_without_weights(AfrStudent, self)


def _grown_from(student: StudentConfig) -> AfrStudentConfig:
    return AfrStudentConfig(
        student.unshuffle,
        student.widths,
        student.encoder_blocks,
        student.middle_blocks,
        student.decoder_blocks,
    )


PRESETS = {
    "base": _grown_from(STUDENTS["base"]),
    "large": _grown_from(STUDENTS["large"]),
    "tiny-student": _grown_from(STUDENTS["tiny"]),
}
"""Named AFR-Nets, each grown from the student of the same name; `tiny-student` is for tests."""


class GatedAfr(nn.Module, Silent):
    """Add refined levels to those of an encoder, each channel weighted by its gate.

    Parameters
    ----------
    widths : sequence of int
        Channels per level, finest first.
    config : AfrStudentConfig
        Sizes of the rounds.
    """

    def __init__(self, widths: Sequence[int], config: AfrStudentConfig) -> None:
        super().__init__()
        self.plugin = AfrPlugin(
            widths, config.afr_rounds, config.afr_separable, opening_blocks=config.opening_blocks
        )
        self.gates = nn.ParameterList(torch.zeros(width, 1, 1) for width in widths)

    def forward(self, levels: Sequence[Tensor]) -> RefinedFeatures:
        """Refine levels (B, widths[i], H / 2^i, W / 2^i), finest first."""
        found = self.plugin(levels)
        gated = [
            level + gate.to(level.dtype) * refined.to(level.dtype)
            for level, gate, refined in zip(levels, self.gates, found.features, strict=True)
        ]
        return RefinedFeatures(gated, found.mask_logits)

    def silence(self) -> None:
        """Close the gates; see `Silent.silence`."""
        for gate in self.gates:
            nn.init.zeros_(gate)

    def receptive_field(self, levels: Sequence[ReceptiveField]) -> list[ReceptiveField]:
        """Return how far the refined levels look."""
        return [
            level | refined
            for level, refined in zip(levels, self.plugin.receptive_field(levels), strict=True)
        ]


class AfrStudentOutputs(NamedTuple):
    """Outputs for training and distillation."""

    derained: Tensor
    """(B, 3, H, W), not clipped."""
    mask_logits: Tensor
    """(B, 1, h, w), one cell per block of `unshuffle` x `unshuffle` pixels of the padded photographs."""
    refined: Levels
    """The encoder's levels of the padded photographs after all rounds, finest first."""


class AfrStudent(Student):
    """Derain photographs: `forward(rainy) -> derained`, any size in, the same size out."""

    config: AfrStudentConfig
    can_widen: ClassVar[bool] = False  # the attention concatenates mask and features
    costly_method: ClassVar[str] = "_refine"

    def __init__(self, config: AfrStudentConfig) -> None:
        super().__init__(config)
        self.afr = GatedAfr(config.widths, config)

    def forward(self, rainy: Tensor) -> Tensor:
        """Derain a batch; see `Network.forward`."""
        return self.outputs(rainy).derained

    def outputs(self, rainy: Tensor) -> AfrStudentOutputs:
        """Derain a batch (B, 3, H, W) in [0, 1]; return the mask and the refined levels too."""
        padded = pad_to_multiple(rainy, self.config.size_multiple)
        decoded, refined, mask_logits = self._refine(padded.to(self.stem.weight.dtype))
        return AfrStudentOutputs(self._without_streaks(rainy, padded, decoded), mask_logits, refined)

    def features(self, rainy: Tensor) -> Features:
        """Derain a batch and return the refined levels and the rain mask; see `Network.features`."""
        found = self.outputs(rainy)
        levels = self._cropped(rainy, found.refined)
        return Features(found.derained, levels, torch.sigmoid(self._mask(rainy, found)))

    def loss_terms(self, pair: RainyPair, reconstruction: Reconstruction | None = None) -> dict[str, Tensor]:
        """Return the terms that training minimises, including the mask's; see `Network.loss_terms`."""
        found = self.outputs(pair.rainy.contiguous(memory_format=torch.channels_last))
        terms = (reconstruction or reconstruction_terms)(found.derained, pair.clean)
        return terms | {"mask": mask_term(self._mask(pair.rainy, found), pair.rain_mask)}

    def receptive_field(self) -> ReceptiveField:
        """Return how far the derained photograph looks."""
        sizes = self.config
        fine = input_receptive_field(sizes.unshuffle, sizes.size_multiple)
        fine = fine.conv(1 + 2 * sizes.encoder_blocks[0])
        mid = fine.strided(2).conv(2 * sizes.encoder_blocks[1])
        coarse = mid.strided(2).conv(2 * sizes.middle_blocks)
        fine, mid, coarse = self.afr.receptive_field((fine, mid, coarse))
        mid = (coarse.transposed(2) | mid).conv(2 * sizes.decoder_blocks[1])
        return (mid.transposed(2) | fine).conv(2 * sizes.decoder_blocks[0]).conv()

    def _mask(self, rainy: Tensor, found: AfrStudentOutputs) -> Tensor:
        height, width = rainy.shape[-2:]
        return crop_cells(found.mask_logits, height, width, self.config.unshuffle)

    def _refine(self, rainy: Tensor) -> tuple[Tensor, Levels, Tensor]:
        """Return the decoder's finest level, the refined levels of the encoder and the mask's logits."""
        found = self.afr(self._encode(rainy))
        fine, mid, coarse = found.features
        return self._decode((fine, mid, coarse))[0], (fine, mid, coarse), found.mask_logits
