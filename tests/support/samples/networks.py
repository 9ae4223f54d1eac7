"""Measurements for tests of every network: its receptive field, its cost, its output in tiles."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from models.engine import tiles
from models.networks.architectures import build_network, preset
from models.networks.base import Network, NetworkConfig
from models.pairs import RainyPair
from tests.support.samples.students import random_pictures

NetworkKind = TypeVar("NetworkKind", bound=nn.Module)


def random_network(config: NetworkConfig | str, seed: int = 0) -> Network:
    """Return a network of a config or preset with random weights in place of the initial zeros."""
    torch.manual_seed(seed)
    return with_random_weights(build_network(preset(config) if isinstance(config, str) else config))


def with_random_weights(network: NetworkKind) -> NetworkKind:
    """Replace initial zeros by random weights, so that the network changes photographs."""
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    return network.eval().requires_grad_(False)


def rainy_pair(height: int = 32, width: int = 32, pictures: int = 1) -> RainyPair:
    """Return grey photographs with and without slanting streaks."""
    clean = random_pictures(pictures, 3, 1, 1).expand(pictures, 3, height, width).contiguous()
    slanted = (torch.arange(width) + torch.arange(height)[:, None]) % 9 < 2
    streaks = (0.4 * slanted).expand(pictures, 1, height, width).contiguous()
    return RainyPair((clean + streaks).clamp(max=1), clean, streaks)


def fit(network: nn.Module, pair: RainyPair, steps: int) -> list[dict[str, float]]:
    """Train on one pair; return the loss terms of each step."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, fused=True)
    curve = []
    for _ in range(steps):
        terms = network.loss_terms(pair)
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        curve.append({name: term.item() for name, term in terms.items()})
    return curve


def untouched(network: nn.Module, loss: Tensor) -> list[str]:
    """Return the names of the parameters that receive no gradient from the loss."""
    names, parameters = zip(*network.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [
        name
        for name, gradient in zip(names, gradients, strict=True)
        if gradient is None or not gradient.any()
    ]


def farthest_gradient(network: nn.Module) -> int:
    """Return the number of columns between an output pixel and the farthest input pixel that changes it.

    With positive weights and inputs, no path is switched off by a ReLU and none cancels another; the weights are
    small, so that no sigmoid is flat. Kernels are square, so the distance is the same in rows.
    """
    multiple = network.config.size_multiple
    network = network.double()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.3 / parameter[0].numel())
    columns = (2 * network.config.receptive_radius // multiple + 4) * multiple
    rainy = torch.ones(1, 3, 2 * multiple, columns, dtype=torch.float64, requires_grad=True)
    derained = network(rainy).sum((0, 1, 2))
    middle = columns // 2 // multiple * multiple
    reach = 0
    for place in range(middle, middle + multiple):
        (gradient,) = torch.autograd.grad(derained[place], rainy, retain_graph=True)
        reach = max(reach, int((gradient.sum((0, 1, 2)).nonzero() - place).abs().max()))
    return reach


def derain_in_tiles(network: nn.Module, rainy: Tensor) -> tuple[Tensor, int]:
    """Derain in the smallest tiles that the engine uses; return the result and the number of tiles."""
    sizes = network.config
    halo = math.ceil(sizes.receptive_radius / sizes.size_multiple) * sizes.size_multiple
    cuts = list(tiles(*rainy.shape[-2:], halo, 1, sizes.size_multiple))
    tiled = torch.full_like(rainy, torch.nan)
    for tile in cuts:
        part = network(rainy[:, :, tile.read[0], tile.read[1]])
        tiled[:, :, tile.keep[0], tile.keep[1]] = part[:, :, tile.inner[0], tile.inner[1]]
    return tiled, len(cuts)


def millions_of_parameters(network: nn.Module) -> float:
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


@contextmanager
def counted_gmac(network: nn.Module) -> Iterator[list[float]]:
    """Collect the multiplications of all convolutions while the network runs, in 10^9, one number per call.

    A transposed convolution multiplies each input pixel by its whole kernel.
    """
    counts: list[float] = []

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        pixels = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        counts.append(pixels.shape[-2] * pixels.shape[-1] * layer.weight.numel() / 1e9)

    layers = [part for part in network.modules() if isinstance(part, nn.Conv2d | nn.ConvTranspose2d)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    yield counts
    for hook in hooks:
        hook.remove()
