"""Networks of any architecture with random weights, for tests: new ones may have a head of zeros."""

from __future__ import annotations

import torch
from torch import nn

from models.architectures import build_network, preset
from models.networks import Network, NetworkConfig


def random_network(config: NetworkConfig | str, seed: int = 0) -> Network:
    """A network of these sizes, or of a preset, that alters photographs visibly; ready for inference."""
    torch.manual_seed(seed)
    network = build_network(preset(config) if isinstance(config, str) else config)
    for parameter in network.parameters():
        if parameter.dim() == 4 and not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    return network.eval().requires_grad_(False)


def farthest_gradient(network: Network) -> int:
    """Rows or columns between an output pixel and the farthest input pixel that changes it.

    With positive weights and inputs no path is switched off by a ReLU and none cancels another.
    """
    config = network.config
    network = network.double().requires_grad_()
    for parameter in network.parameters():
        nn.init.uniform_(parameter, 0.01, 0.1)
    side = (2 * config.receptive_radius // config.size_multiple + 4) * config.size_multiple
    rainy = torch.ones(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    derained = network(rainy)
    middle = side // 2 // config.size_multiple * config.size_multiple
    reach = 0
    for place in range(middle, middle + config.size_multiple):
        (gradient,) = torch.autograd.grad(derained[0, :, place, place].sum(), rainy, retain_graph=True)
        reach = max(reach, int((gradient[0].abs().sum(0).nonzero() - place).abs().max()))
    return reach
