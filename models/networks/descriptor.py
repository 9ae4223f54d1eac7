"""Properties of a network (`describe`): tiling, size and computational cost."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.networks.architectures import architecture_of
from models.networks.base import Network

SIZE = 512
"""Height and width, in pixels, for which `Descriptor.gmac` is counted."""
SMALL = 32
"""Side of the smaller photograph that is run for counting: a multiple of every network's padding."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Properties of a network."""

    architecture: str
    size_multiple: int
    """Pixels that height and width are padded to a multiple of."""
    receptive_radius: int
    """Distance of the farthest input pixel that changes an output pixel through convolutions: a tile's halo."""
    global_operation: bool
    """Whether every pixel can change every other one, regardless of the radius: such a network cannot be tiled."""
    parameters: int
    gmac: float
    """Multiplications for one photograph of 512x512, in 10^9."""


def describe(network: Network) -> Descriptor:
    """Describe a network; its weights do not matter.

    Raises
    ------
    ArchitectureUnknown
        If it belongs to none of `models.networks.architectures.ARCHITECTURES`.
    """
    config = network.config
    return Descriptor(
        architecture=architecture_of(network).name,
        size_multiple=config.size_multiple,
        receptive_radius=config.receptive_radius,
        global_operation=config.global_operation,
        parameters=count_parameters(network),
        gmac=round(count_gmac(network), 3),
    )


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_gmac(network: nn.Module, size: int = SIZE) -> float:
    """Count the multiplications of convolutions and linear layers, in 10^9.

    Run two small photographs and extrapolate, which is exact: one part of the work is proportional to the
    pixels, the rest (that of a gate, say) is the same for every photograph.

    Parameters
    ----------
    network : Module
        Takes (1, 3, side, side); pads to no more than a multiple of `SMALL`.
    size : int
        Height and width of the photograph, in pixels.
    """
    small, double = (_multiplications(network, side) for side in (SMALL, 2 * SMALL))
    by_pixel = (double - small) / (3 * SMALL**2)
    return (by_pixel * (size**2 - SMALL**2) + small) / 1e9


@torch.no_grad()
def _multiplications(network: nn.Module, side: int) -> int:
    """Count with hooks on a copy: torch's own counter and its meta device spend seconds importing the compiler."""
    counts: list[int] = []

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(layer, nn.Linear):
            counts.append(output.numel() * layer.in_features)
        elif isinstance(layer, nn.ConvTranspose2d):
            counts.append(inputs[0].shape[-2:].numel() * layer.weight.numel())
        elif isinstance(layer, nn.Conv2d):
            counts.append(output.shape[-2:].numel() * layer.weight.numel())

    counted = copy.deepcopy(network).to(device="cpu", dtype=torch.float32).eval()
    for layer in counted.modules():
        layer.register_forward_hook(count)
    counted(torch.zeros(1, 3, side, side))
    return sum(counts)
