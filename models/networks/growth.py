"""Growth of networks (`grow`): a network starts from a smaller trained one and computes exactly the same.

New blocks are silent at first (they add zeros to their input), wider layers keep the old kernels in their first
channels, and no old channel reads a new one. Before its first step the network therefore equals the start, and
every new weight can learn: a silent block has a gradient at its last layer, a new channel at the columns that read
it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from models.errors import ModelError
from models.networks.base import Network


class GrowthImpossible(ModelError):
    """Raised if a network cannot grow from a smaller one; the message says where they differ."""


class Silent(ABC):
    """A part of a network that can start as the identity."""

    @abstractmethod
    def silence(self) -> None:
        """Make this part return its input, bit for bit."""


@torch.no_grad()
def grow(network: Network, start: Network) -> None:
    """Give a network the weights and the function of a smaller one; new parts are silent, new channels unread.

    Parameters
    ----------
    network : Network
        Network with new weights; changed in place.
    start : Network
        Smaller network. Each of its parts needs one of the same name in `network`, at least as wide.

    Raises
    ------
    GrowthImpossible
        If a part of the start is missing or narrower in the network, or a new part cannot be silent.
    """
    grown, smaller = network.state_dict(), start.state_dict()
    _require_room(network, grown, smaller)
    silenced = _silence_new_parts(network, start)
    for name in grown.keys() - smaller.keys():
        if not name.startswith(silenced):
            raise GrowthImpossible(f"{name} is not in the start and cannot begin without an effect")
    for name, value in smaller.items():
        grown[name].copy_(_widened(grown[name], value))


def _require_room(network: Network, grown: Mapping[str, Tensor], smaller: Mapping[str, Tensor]) -> None:
    for name, value in smaller.items():
        if name not in grown:
            raise GrowthImpossible(f"{name} of the start is missing in this network")
        wider = grown[name].shape != value.shape
        narrower = any(new < old for new, old in zip(grown[name].shape, value.shape, strict=True))
        if narrower or (wider and not network.can_widen):
            sizes = f"{tuple(value.shape)} in the start, {tuple(grown[name].shape)} here"
            raise GrowthImpossible(f"{name} has other sizes: {sizes}")


def _silence_new_parts(network: Network, start: Network) -> tuple[str, ...]:
    """Silence the parts that the start does not have; return the prefixes of their parameters."""
    known = {name for name, _ in start.named_modules()}
    new = [(name, part) for name, part in network.named_modules() if name not in known]
    silenced = [(name, part) for name, part in new if isinstance(part, Silent)]
    for _, part in silenced:
        part.silence()
    return tuple(f"{name}." for name, _ in silenced)


def _widened(new: Tensor, old: Tensor) -> Tensor:
    """Copy old weights (outputs, inputs, ...) into the first channels of new ones."""
    if new.shape == old.shape:
        return old
    grown = new.clone()
    grown[: len(old)] = 0  # an old output reads no new input
    grown[tuple(slice(0, extent) for extent in old.shape)] = old
    return grown


def zero(layer: nn.Conv2d) -> None:
    """Set the weights of a convolution to zero."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
