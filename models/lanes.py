"""Batches in flight on a device (`Lanes`): the copies of one overlap with the computation of another.

On a GPU each lane is a stream with its own pinned memory. Without streams, as on a CPU, a lane computes
immediately; order and bytes are the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from models.images import RgbBatch

LANES = 2
"""Number of lanes: while one batch is computed, another is copied."""

Pass = Callable[[Tensor], Tensor]
"""Derains (B, H, W, 3) uint8 on the device."""


class InFlight:
    """A batch on its way through a device."""

    def __init__(self, derained: Tensor, copied: torch.cuda.Event | None) -> None:
        self._derained = derained
        self._copied = copied
        self._pixels: RgbBatch | None = None

    def result(self) -> RgbBatch:
        """Wait for the batch, and return a copy of it: (B, H, W, 3) uint8."""
        if self._pixels is None:
            if self._copied is not None:
                self._copied.synchronize()
            self._pixels = self._derained.numpy().copy()
        return self._pixels


class Lanes:
    """The streams of a device, which take batches in turn.

    Parameters
    ----------
    device : torch.device
        Device to compute on.
    """

    def __init__(self, device: torch.device) -> None:
        self._lanes = itertools.cycle([_Lane(device) for _ in range(LANES)])

    def begin(self, forward: Pass, rainy: RgbBatch) -> InFlight:
        """Send a batch through the next lane, and return without waiting for it.

        Parameters
        ----------
        forward : callable
            Runs on the device; it must not wait for the result.
        rainy : ndarray
            (B, H, W, 3) uint8; may be changed as soon as this returns.
        """
        return next(self._lanes).begin(forward, rainy)


class _Lane:
    """A stream, and the host memory that it copies from and to."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._memory: dict[str, Tensor] = {}
        self._last: InFlight | None = None

    def begin(self, forward: Pass, rainy: RgbBatch) -> InFlight:
        """See `Lanes.begin`."""
        if self._last is not None:
            self._last.result()  # before its memory is written to again
        with self._on_stream():
            source = self._host_memory("rainy", rainy.shape)
            source.numpy()[...] = rainy
            derained = forward(source.to(self._device, non_blocking=True))
            target = self._host_memory("derained", tuple(derained.shape))
            target.copy_(derained, non_blocking=True)
            copied = self._stream.record_event() if self._stream is not None else None
        self._last = InFlight(target, copied)
        return self._last

    def _on_stream(self) -> AbstractContextManager[object]:
        if self._stream is None:
            return nullcontext()
        self._stream.wait_stream(torch.cuda.default_stream(self._device))  # which copied the weights
        return torch.cuda.stream(self._stream)

    def _host_memory(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Return host memory for a batch; reuse that of the last one if the shapes are equal."""
        memory = self._memory.get(name)
        if memory is None or memory.shape != shape:
            memory = torch.empty(shape, dtype=torch.uint8, pin_memory=self._stream is not None)
            self._memory[name] = memory
        return memory
