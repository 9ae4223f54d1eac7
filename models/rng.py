"""Random numbers that depend on nothing but the seed, the sample and the order of drawing (`SampleRng`).

The generator is counter-based: each number is a hash of (seed, sample, draw, position). A sample therefore gets the
same rain in any batch, on any device, before and after a resume, and there is no state to save.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15, the odd integer nearest 2^64 / golden ratio, as int64
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


def _mix(bits: Tensor) -> Tensor:
    """Scramble int64 bits: the finaliser of splitmix64 (Steele, Lea, Flood, OOPSLA 2014)."""
    for shift, factor in ((30, _MIX_1), (27, _MIX_2)):
        bits = _xor_shifted(bits, shift).mul_(factor)
    return _xor_shifted(bits, 31)


def _xor_shifted(bits: Tensor, shift: int) -> Tensor:
    """Return int64 bits, each xor the bit `shift` places above it."""
    return (bits >> shift).bitwise_and_((1 << (64 - shift)) - 1).bitwise_xor_(bits)


class SampleRng:
    """A stream of uniform numbers for each sample of a batch.

    Parameters
    ----------
    seed : int
        Seed of the whole run.
    samples : Tensor
        (B,) int64 numbers of the samples; numbers are drawn on its device.
    """

    def __init__(self, seed: int, samples: Tensor) -> None:
        self._streams = _mix(_mix(samples + 1) + torch.tensor(seed, device=samples.device) * _GOLDEN)
        self._drawn = 0

    def subset(self, chosen: Tensor) -> SampleRng:
        """Branch off an independent stream for the samples that `chosen`, (B,) booleans, marks."""
        self._drawn += 1
        branch = SampleRng.__new__(SampleRng)
        branch._streams = _mix(self._streams[chosen] + self._drawn)
        branch._drawn = 0
        return branch

    @property
    def batch(self) -> int:
        """Number of samples."""
        return self._streams.shape[0]

    @property
    def device(self) -> torch.device:
        """Device on which numbers are drawn."""
        return self._streams.device

    def uniform(self, low: float = 0.0, high: float = 1.0, shape: tuple[int, ...] = ()) -> Tensor:
        """Draw float32 numbers of shape (B, *shape), uniform in [low, high)."""
        self._drawn += 1
        counter = torch.arange(prod(shape), device=self.device) + (self._drawn << 40)
        bits = _mix(self._streams[:, None] + counter * _GOLDEN)
        unit = bits.bitwise_right_shift_(40).bitwise_and_(0xFFFFFF).float().mul_(2.0**-24)
        return unit.mul_(high - low).add_(low).reshape(self.batch, *shape)

    def log_uniform(self, low: float, high: float, shape: tuple[int, ...] = ()) -> Tensor:
        """Draw numbers whose logarithm is uniform between those of low and high."""
        return low * (high / low) ** self.uniform(shape=shape)

    def integer(self, count: int | Tensor) -> Tensor:
        """Draw one integer in [0, count) per sample, (B,) int64."""
        limit = torch.as_tensor(count, device=self.device)
        return torch.minimum((self.uniform() * limit).long(), limit.long() - 1)

    def normal(self, shape: tuple[int, ...] = ()) -> Tensor:
        """Draw standard normal numbers of shape (B, *shape) (Box and Muller)."""
        radius = torch.sqrt(-2 * torch.log1p(-self.uniform(shape=shape)))
        return radius * torch.cos(2 * torch.pi * self.uniform(shape=shape))

    def chance(self, probability: float) -> Tensor:
        """Draw (B,) booleans that are true with this probability."""
        return self.uniform() < probability
