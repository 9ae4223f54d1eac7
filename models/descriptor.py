"""What a caller must know of a network, as numbers: how it may be cut, how large it is and what it costs."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from models.architectures import architecture_of
from models.networks import Network

SIZE = 512
"""Height and width, in pixels, that `Descriptor.gmac` is told for."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Facts of a network."""

    architecture: str
    size_multiple: int
    """Pixels that height and width are padded to a multiple of."""
    receptive_radius: int
    """Farthest input pixel that can change an output pixel through convolutions: the halo of a tile."""
    global_operation: bool
    """Whether every pixel can change every other one, whatever the radius: such a network cannot be tiled."""
    parameters: int
    gmac: float
    """Multiplications for one photograph of 512x512, in 10^9."""


def describe(network: Network) -> Descriptor:
    """Describe a network; its weights do not matter.

    Raises
    ------
    ArchitectureUnknown
        If it is of none of `models.architectures.ARCHITECTURES`.
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
    """Count the numbers that training changes."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_gmac(network: nn.Module, size: int = SIZE) -> float:
    """Count the multiplications of convolutions and matrix products, in 10^9, without computing any.

    Parameters
    ----------
    network : Module
        Takes (1, 3, size, size).
    size : int
        Height and width of the photograph, in pixels.
    """
    shapes = copy.deepcopy(network).to(device="meta", dtype=torch.float32).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shapes(torch.empty(1, 3, size, size, device="meta"))
    operations: int = counter.get_total_flops()  # a multiplication and an addition are two
    return operations / 2e9
