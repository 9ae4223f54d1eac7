"""AFR: refinement of features in rounds, each guided by a map of the rain; fits any multi-scale encoder.

The module of AFR-Net (Wang, Sun, Sowmya, IEEE TIP 30, 2021) refines the *features* repeatedly instead of the image.
A round decodes the levels of an encoder to the finest (left), scales and shifts that level by an attention map
computed from the rain mask (attention), and encodes it back to all levels (right).
The levels keep their shapes, so a host needs one line between its encoder and decoder:

    refined = self.afr(features)  # AfrPlugin: refined.features for the decoder, refined.mask_logits for the loss

The order of the parts is the authors'. Ours, because these details are not published: the number of residual blocks
in each part, chosen to match the size and cost of the authors' code; the right branch adds the left branch's
levels; the mask enters as a probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.networks.blocks import (
    Blocks,
    BottomUp,
    Padding,
    ResidualBlock,
    TopDown,
    activate,
    conv,
    radius_of,
    residual_blocks,
)
from models.networks.receptive_field import ReceptiveField

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class MaskOutputs:
    """Outputs of a mask branch, at the size of the finest level: logits (B, 1, H, W) and features (B, C, H, W)."""

    logits: Tensor
    features: Tensor


@dataclass(frozen=True, slots=True)
class MaskFields:
    """Receptive fields of a mask branch's logits and features."""

    logits: ReceptiveField
    features: ReceptiveField


@dataclass(frozen=True, slots=True)
class RefinedFeatures:
    """Refined levels of unchanged shapes, finest first, and the rain mask's logits (B, 1, H, W) for the loss."""

    features: list[Tensor]
    mask_logits: Tensor


class RainAttention(nn.Module):
    """Scale and shift features by attention maps that come from the mask branch."""

    def __init__(self, width: int, mask_width: int, separable: bool, padding: Padding) -> None:
        super().__init__()
        self.mask_block = ResidualBlock(mask_width, separable, padding)
        self.gamma = conv(mask_width + 1, width, kernel=1)
        self.beta = conv(mask_width + 1, width, kernel=1)
        self.before, self.scaled, self.shifted = (ResidualBlock(width, separable, padding) for _ in range(3))

    def forward(self, features: Tensor, mask: MaskOutputs) -> tuple[Tensor, MaskOutputs]:
        """Return the scaled and shifted features (B, width, H, W), and the mask for the next round."""
        mask_features = self.mask_block(mask.features)
        rain = torch.cat((mask_features, torch.sigmoid(mask.logits)), 1)
        scaled = self.scaled(self.before(features) * torch.sigmoid(self.gamma(rain)))
        attended: Tensor = self.shifted(scaled + activate(self.beta(rain)))
        return attended, MaskOutputs(mask.logits, mask_features)

    def receptive_field(
        self, features: ReceptiveField, mask: MaskFields
    ) -> tuple[ReceptiveField, MaskFields]:
        """Return how far features and mask look after the attention."""
        mask = MaskFields(mask.logits, mask.features.conv(radius_of(self.mask_block)))
        rain = mask.features | mask.logits
        scaled = (features.conv(radius_of(self.before)) | rain).conv(radius_of(self.scaled))
        return (scaled | rain).conv(radius_of(self.shifted)), mask


class AfrRound(nn.Module):
    """One round: decode to the finest level, attend to its rain, encode back to all levels."""

    def __init__(
        self, widths: Sequence[int], mask_width: int, opening_blocks: int, separable: bool, padding: Padding
    ) -> None:
        super().__init__()

        def block(level: int) -> ResidualBlock:
            return ResidualBlock(widths[level], separable, padding)

        def opening(width: int) -> Blocks:
            return residual_blocks(width, opening_blocks, separable, padding)

        self.left = TopDown(widths, opening(widths[-1]), block, block)
        self.attention = RainAttention(widths[0], mask_width, separable, padding)
        self.right = BottomUp(widths, opening(widths[0]), block, block, padding)

    def forward(self, features: Sequence[Tensor], mask: MaskOutputs) -> tuple[list[Tensor], MaskOutputs]:
        """Refine the levels once; return them with the mask for the next round."""
        finest, *coarser = self.left(features)
        attended, mask = self.attention(finest, mask)
        return self.right([attended, *coarser]), mask

    def receptive_field(
        self, features: Sequence[ReceptiveField], mask: MaskFields
    ) -> tuple[list[ReceptiveField], MaskFields]:
        """Return how far levels and mask look after the round."""
        finest, *coarser = self.left.receptive_field(features)
        attended, mask = self.attention.receptive_field(finest, mask)
        return self.right.receptive_field([attended, *coarser]), mask


class Afr(nn.Module):
    """Refine the levels of an encoder in rounds, guided by the outputs of a mask branch.

    Parameters
    ----------
    widths : sequence of int
        Channels per level, finest first; each level has half the height and width of the one before. One level
        is enough.
    mask_width : int
        Channels of the mask features.
    rounds : int
        Number of rounds of refinement; 0 returns the levels unchanged.
    separable : bool
        Whether residual blocks are depthwise-separable, as in the paper.
    padding : str
        `reflect`, as in the paper, needs two cells per side at the coarsest level; `zeros` takes any size.
    opening_blocks : int
        Residual blocks that open the left and the right branch of a round.
    """

    def __init__(
        self,
        widths: Sequence[int],
        mask_width: int,
        rounds: int = ROUNDS,
        separable: bool = True,
        padding: Padding = "zeros",
        opening_blocks: int = 3,
    ) -> None:
        super().__init__()
        self.rounds = nn.ModuleList(
            AfrRound(widths, mask_width, opening_blocks, separable, padding) for _ in range(rounds)
        )

    def forward(self, features: Sequence[Tensor], mask: MaskOutputs) -> list[Tensor]:
        """Return refined features of the same shapes as those given, finest first."""
        refined = list(features)
        for one_round in self.rounds:
            refined, mask = one_round(refined, mask)
        return refined

    def receptive_field(self, features: Sequence[ReceptiveField], mask: MaskFields) -> list[ReceptiveField]:
        """Return how far the refined levels look."""
        refined = list(features)
        for one_round in self.rounds:
            assert isinstance(one_round, AfrRound)
            refined, mask = one_round.receptive_field(refined, mask)
        return refined


class MaskBranch(nn.Module):
    """A light mask decoder (ours) for hosts without one; gives logits and features at the finest level."""

    def __init__(self, widths: Sequence[int], separable: bool = True, padding: Padding = "zeros") -> None:
        super().__init__()

        def block(level: int) -> ResidualBlock:
            return ResidualBlock(widths[level], separable, padding)

        self.decode = TopDown(widths, block(-1), block, block)
        self.head = conv(widths[0], 1, padding=padding)

    def forward(self, features: Sequence[Tensor]) -> MaskOutputs:
        """Find the rain in the levels of an encoder, finest first."""
        decoded = self.decode(features)[0]
        return MaskOutputs(self.head(decoded), decoded)

    def receptive_field(self, features: Sequence[ReceptiveField]) -> MaskFields:
        """Return how far the logits and features look."""
        decoded = self.decode.receptive_field(features)[0]
        return MaskFields(decoded.conv(), decoded)


class AfrPlugin(nn.Module):
    """Mask branch and refinement in one, for any host: `refined = plugin(features)`.

    Parameters
    ----------
    widths, rounds, separable, padding, opening_blocks
        As for `Afr`.
    """

    def __init__(
        self,
        widths: Sequence[int],
        rounds: int = ROUNDS,
        separable: bool = True,
        padding: Padding = "zeros",
        opening_blocks: int = 3,
    ) -> None:
        super().__init__()
        self.mask = MaskBranch(widths, separable, padding)
        self.refine = Afr(widths, widths[0], rounds, separable, padding, opening_blocks)

    def forward(self, features: Sequence[Tensor]) -> RefinedFeatures:
        """Refine the levels of an encoder, finest first.

        Parameters
        ----------
        features : sequence of Tensor
            (B, widths[i], H / 2^i, W / 2^i), with H and W multiples of 2^(levels - 1).

        Returns
        -------
        RefinedFeatures
            Levels of the same shapes, and the logits (B, 1, H, W) that `models.networks.losses.mask_term` trains.
        """
        mask = self.mask(features)
        return RefinedFeatures(self.refine(features, mask), mask.logits)

    def receptive_field(self, features: Sequence[ReceptiveField]) -> list[ReceptiveField]:
        """Return how far the refined levels look, given how far the host's levels look."""
        return self.refine.receptive_field(features, self.mask.receptive_field(features))
