"""A minimal network as a template for a new one: see "Add a network" in CONTRIBUTING.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from models.networks.base import Network
from models.networks.losses import Reconstruction, reconstruction_terms
from models.pairs import RainyPair


@dataclass(frozen=True, slots=True)
class MyNetConfig:
    """Sizes of the network."""

    width: int = 32
    blocks: int = 4
    size_multiple: ClassVar[int] = 1
    """Pixels that height and width are padded to a multiple of: see `models.networks.base.pad_to_multiple`."""
    global_operation: ClassVar[bool] = False
    """True if a pixel can change all others, as with attention or pooling over the whole photograph."""

    @property
    def receptive_radius(self) -> int:
        """Number of 3x3 convolutions, each of which looks one pixel further."""
        return self.blocks + 2


PRESETS = {"base": MyNetConfig(), "tiny": MyNetConfig(width=8, blocks=2)}


class MyNet(Network):
    """Subtract the streaks that a chain of convolutions finds; a new network returns its input."""

    def __init__(self, config: MyNetConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = [nn.Conv2d(3, config.width, 3, padding=1), nn.ReLU()]
        for _ in range(config.blocks):
            layers += [nn.Conv2d(config.width, config.width, 3, padding=1), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(config.width, 3, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, rainy: Tensor) -> Tensor:  # (B, 3, H, W) to (B, 3, H, W)
        return rainy - self.head(self.body(rainy))

    def loss_terms(self, pair: RainyPair, reconstruction: Reconstruction | None = None) -> dict[str, Tensor]:
        return (reconstruction or reconstruction_terms)(self(pair.rainy), pair.clean)
