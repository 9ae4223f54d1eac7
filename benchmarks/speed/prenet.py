"""PReNet's architecture, with which speeds are compared; timing needs no trained weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PReNet(nn.Module):
    """The network of Ren et al., "Progressive Image Deraining Networks", CVPR 2019.

    Six recurrent stages share their weights. Each sees the rainy image and the last estimate, runs them through
    a convolution, a convolutional LSTM and five residual blocks, and adds the result to the rainy image.
    """

    stages = 6

    def __init__(self, width: int = 32, blocks: int = 5) -> None:
        super().__init__()
        self.inlet = nn.Sequential(_conv(6, width), nn.ReLU())
        self.gates = nn.ModuleList(_conv(2 * width, width) for _ in range(4))
        self.residual = nn.ModuleList(
            nn.Sequential(_conv(width, width), nn.ReLU(), _conv(width, width), nn.ReLU())
            for _ in range(blocks)
        )
        self.outlet = _conv(width, 3)

    def forward(self, rainy: Tensor) -> Tensor:
        """Derain (B, 3, H, W)."""
        estimate = rainy
        hidden = cell = rainy.new_zeros(len(rainy), self.outlet.in_channels, *rainy.shape[-2:])
        for _ in range(self.stages):
            hidden, cell = self._remember(torch.cat((rainy, estimate), 1), hidden, cell)
            features = hidden
            for block in self.residual:
                features = torch.relu(block(features) + features)
            estimate = self.outlet(features) + rainy
        return estimate

    def _remember(self, seen: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        joined = torch.cat((self.inlet(seen), hidden), 1)
        take, keep, new, show = (gate(joined) for gate in self.gates)
        cell = torch.sigmoid(keep) * cell + torch.sigmoid(take) * torch.tanh(new)
        return torch.sigmoid(show) * torch.tanh(cell), cell


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)
