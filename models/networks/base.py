"""Base class of all deraining networks (`Network`), and the protocol of their sizes (`NetworkConfig`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.losses import Reconstruction
from models.pairs import RainyPair


class NetworkConfig(Protocol):
    """Sizes of a network: a frozen dataclass of numbers, flags and tuples of numbers."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def size_multiple(self) -> int:
        """Pixels that height and width are padded to a multiple of."""

    @property
    def receptive_radius(self) -> int:
        """Distance in pixels of the farthest input pixel that can change an output pixel through convolutions."""

    @property
    def global_operation(self) -> bool:
        """Whether every input pixel can change every output pixel, which rules out exact tiles."""


class Features(NamedTuple):
    """The intermediate features of a network for photographs (B, 3, H, W)."""

    derained: Tensor
    """(B, 3, H, W), not clipped."""
    levels: dict[int, Tensor]
    """Features by the width s of their cells in pixels, (B, C, ceil(H / s), ceil(W / s)); C as in
    `Network.feature_widths`."""
    rain_mask: Tensor | None
    """Probability of rain per cell, (B, 1, h, w) in [0, 1], if the network has a mask."""


class Network(nn.Module, ABC):
    """Derain photographs: `forward(rainy) -> derained`, any size in, the same size out."""

    config: NetworkConfig
    can_widen: ClassVar[bool] = False
    """Whether the network can grow wider: nothing is concatenated, so old channels stay first in each layer."""

    costly_method: ClassVar[str] = "forward"
    """Method that takes nearly all the time of `forward` and `loss_terms`; torch.compile compiles it."""

    @abstractmethod
    def forward(self, rainy: Tensor) -> Tensor:
        """Derain a batch.

        Parameters
        ----------
        rainy : Tensor
            (B, 3, H, W), floats in [0, 1], any height and width.

        Returns
        -------
        Tensor
            (B, 3, H, W), not clipped.
        """

    @property
    def feature_widths(self) -> Mapping[int, int]:
        """Channels of the features that distillation matches, by cell width in pixels; none by default."""
        return {}

    def features(self, rainy: Tensor) -> Features:
        """Derain a batch as `forward` does, and return the intermediate features."""
        return Features(self(rainy), {}, None)

    @abstractmethod
    def loss_terms(self, pair: RainyPair, reconstruction: Reconstruction | None = None) -> dict[str, Tensor]:
        """Return the named, weighted terms whose sum training minimises.

        Parameters
        ----------
        pair : RainyPair
            Labelled crops.
        reconstruction : callable, optional
            Terms of the derained photographs that replace the network's own; terms of masks and the like stay.
        """


def pad_to_multiple(rainy: Tensor, multiple: int, least: int = 0) -> Tensor:
    """Repeat the last row and column of (B, C, H, W) until both sides are multiples and at least `least`."""
    height, width = (side + -side % multiple for side in (max(side, least) for side in rainy.shape[-2:]))
    padding = (0, width - rainy.shape[-1], 0, height - rainy.shape[-2])
    return F.pad(rainy, padding, mode="replicate") if any(padding) else rainy
