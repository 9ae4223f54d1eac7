"""Inference (`Engine`): uint8 photographs in, uint8 photographs out, with the same pixels whole or in tiles.

On a CPU each photograph is one forward pass, in bf16 where the processor supports it: as fast as batches, and
bit-equal whatever else is derained. On a GPU, photographs of one size share a pass, and the copies of one batch
overlap with the computation of another (`Engine.begin`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from models.errors import ModelError
from models.images import RgbBatch
from models.lanes import LANES, Lanes
from models.networks.architectures import architecture_of
from models.networks.base import Network

GPU_BATCH = 16
"""Photographs per pass on a GPU."""
TILE_PIXELS = 4_000_000
"""Largest number of pixels of a photograph that is derained whole by default."""


class TilingRefused(ModelError):
    """Raised for a photograph that needs tiles, if the network cannot be tiled exactly."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a photograph as slices: the area to read, which includes the halo, and the area to keep."""

    read: tuple[slice, slice]
    keep: tuple[slice, slice]

    @property
    def inner(self) -> tuple[slice, slice]:
        """The area to keep, as slices of the area that was read."""
        rows, columns = (
            slice(keep.start - read.start, keep.stop - read.start)
            for keep, read in zip(self.keep, self.read, strict=True)
        )
        return rows, columns


class Begun(Protocol):
    """Photographs that are being derained."""

    def result(self) -> RgbBatch:
        """Wait for the derained photographs and return them, (B, H, W, 3) uint8."""


@dataclass(frozen=True, slots=True)
class _Derained:
    """Photographs that are derained already."""

    pixels: RgbBatch

    def result(self) -> RgbBatch:
        """Return the derained photographs."""
        return self.pixels


class Engine:
    """A network on one device, ready to derain.

    Parameters
    ----------
    network : Network
        Network to run; moved to the device and dtype, and set to evaluation mode.
    device : torch.device
        Device to compute on.
    dtype : torch.dtype
        Precision of the convolutions; the photograph itself stays fp32.
    tile_pixels : int
        Photographs with more pixels are derained in tiles of at most about this size, or refused if the
        network has a global operation.
    """

    def __init__(
        self, network: Network, device: torch.device, dtype: torch.dtype, tile_pixels: int = TILE_PIXELS
    ) -> None:
        moved = network.eval().to(device=device, dtype=dtype)
        self.network: Network = moved.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.device = device
        self.tile_pixels = tile_pixels
        self._lanes = Lanes(device) if device.type == "cuda" else None

    @property
    def batch_images(self) -> int:
        """Number of photographs of one size per pass: one on a CPU, where larger batches gain nothing."""
        return GPU_BATCH if self.device.type == "cuda" else 1

    @property
    def ahead(self) -> int:
        """Number of batches to begin before asking for the result of the first; 0 on a CPU."""
        return LANES - 1 if self._lanes is not None else 0

    def begin(self, rainy: RgbBatch) -> Begun:
        """Begin to derain photographs of one size as `derain` does; on a GPU, do not wait for the result."""
        height, width = rainy.shape[1:3]
        if self._lanes is None or height * width > self.tile_pixels:
            return _Derained(self.derain(rainy))
        try:
            return self._lanes.begin(self._pass, rainy)
        except torch.cuda.OutOfMemoryError:
            pass
        return _Derained(self.derain(rainy))  # in halves

    def derain(self, rainy: RgbBatch) -> RgbBatch:
        """Derain photographs of one size.

        Parameters
        ----------
        rainy : ndarray
            (B, H, W, 3) uint8, any height and width from 1 on.

        Returns
        -------
        ndarray
            (B, H, W, 3) uint8.

        Raises
        ------
        TilingRefused
            If the photographs need tiles and the network cannot be tiled exactly.
        """
        height, width = rainy.shape[1:3]
        multiple = self.network.config.size_multiple
        padding = ((0, 0), (0, -height % multiple), (0, -width % multiple), (0, 0))
        padded = np.pad(rainy, padding, mode="edge")
        self._refuse_to_tile(padded.shape[1] * padded.shape[2])
        derained = np.empty_like(padded)
        for tile in tiles(padded.shape[1], padded.shape[2], self._halo, self.tile_pixels, multiple):
            part = self._forward(padded[:, tile.read[0], tile.read[1]])
            derained[:, tile.keep[0], tile.keep[1]] = part[:, tile.inner[0], tile.inner[1]]
        return derained[:, :height, :width]

    def derain_floats(self, rainy: Tensor) -> Tensor:
        """Round (B, 3, H, W) floats in [0, 1] to 8 bits, derain them and return floats."""
        levels = _as_uint8(rainy.clone()).cpu().numpy()
        size = self.batch_images
        parts = [self.derain(levels[first : first + size]) for first in range(0, len(levels), size)]
        return torch.from_numpy(np.concatenate(parts)).to(rainy.device).permute(0, 3, 1, 2).float() / 255

    def _refuse_to_tile(self, pixels: int) -> None:
        """Raise if tiles are needed but a global operation would see only its own tile."""
        if self.network.config.global_operation and pixels > self.tile_pixels:
            raise TilingRefused(
                f"more than {self.tile_pixels:,} pixels, and {architecture_of(self.network).name} cannot be"
                " tiled: it has a global operation"
            )

    @property
    def _halo(self) -> int:
        sizes = self.network.config
        return math.ceil(sizes.receptive_radius / sizes.size_multiple) * sizes.size_multiple

    def _forward(self, rainy: RgbBatch) -> RgbBatch:
        """Run one pass; halve a batch that does not fit in the device's memory."""
        pixels = torch.from_numpy(np.ascontiguousarray(rainy))
        try:
            derained: RgbBatch = self._pass(pixels.to(self.device)).cpu().numpy()
            return derained
        except torch.cuda.OutOfMemoryError:
            if len(rainy) == 1:
                raise
        torch.cuda.empty_cache()
        half = len(rainy) // 2
        return np.concatenate([self._forward(rainy[:half]), self._forward(rainy[half:])])

    @torch.inference_mode()
    def _pass(self, rainy: Tensor) -> Tensor:
        """Derain (B, H, W, 3) uint8 on the device."""
        floats = rainy.permute(0, 3, 1, 2).float().div_(255)  # (B, 3, H, W), channels last in memory
        return _as_uint8(self.network(floats))


def tiles(height: int, width: int, halo: int, tile_pixels: int, multiple: int) -> Iterator[Tile]:
    """Cut a photograph into tiles whose kept areas cover it exactly once.

    Parameters
    ----------
    height, width : int
        Size of the photograph, multiples of `multiple`.
    halo : int
        Pixels to read around the kept area, a multiple of `multiple`; cut off at the photograph's edges.
    tile_pixels : int
        Largest area to read in pixels; exceeded where less than a halo of pixels would be kept otherwise.
    multiple : int
        Kept areas begin at multiples of this.

    Yields
    ------
    Tile
        Tiles row by row; a single one if the photograph fits.
    """
    if height * width <= tile_pixels:
        yield _tile(slice(0, height), slice(0, width), height, width, halo)
        return
    rows = _kept_side(height, math.isqrt(tile_pixels), halo, multiple)
    columns = _kept_side(width, tile_pixels // min(height, rows + 2 * halo), halo, multiple)
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            keep_rows, keep_columns = (
                slice(top, min(top + rows, height)),
                slice(left, min(left + columns, width)),
            )
            yield _tile(keep_rows, keep_columns, height, width, halo)


def _kept_side(extent: int, budget: int, halo: int, multiple: int) -> int:
    if extent <= budget:
        return extent
    return max((budget - 2 * halo) // multiple * multiple, max(halo, multiple))


def _tile(rows: slice, columns: slice, height: int, width: int, halo: int) -> Tile:
    read_rows = slice(max(rows.start - halo, 0), min(rows.stop + halo, height))
    read_columns = slice(max(columns.start - halo, 0), min(columns.stop + halo, width))
    return Tile((read_rows, read_columns), (rows, columns))


def choose_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda` or `cuda:N` into a device.

    Raises
    ------
    ValueError
        If the CUDA device does not exist, or the name is none of these.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device(name)
    numbered = re.fullmatch(r"cuda(?::(\d+))?", name)
    if numbered is None:
        raise ValueError(f"device {name!r}: use 'auto', 'cpu', 'cuda' or 'cuda:N'")
    if not torch.cuda.is_available():
        raise ValueError(f"device {name!r}: this machine has no CUDA device; use 'auto' or 'cpu'")
    count = torch.cuda.device_count()
    if int(numbered[1] or 0) >= count:
        raise ValueError(f"device {name!r}: this machine has cuda:0 to cuda:{count - 1}")
    return torch.device(name)


def fast_dtype(device: torch.device) -> torch.dtype:
    """Return bf16 where the device supports it, fp32 elsewhere."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if _cpu_has_bf16() else torch.float32


def _cpu_has_bf16() -> bool:
    flags = Path("/proc/cpuinfo")
    known = flags.read_text() if flags.exists() else ""
    return "avx512_bf16" in known or "amx_bf16" in known


def _as_uint8(derained: Tensor) -> Tensor:
    """Convert (B, 3, H, W) floats, which are overwritten, to (B, H, W, 3) uint8."""
    return derained.clamp_(0, 1).mul_(255).round_().to(torch.uint8).permute(0, 2, 3, 1)
