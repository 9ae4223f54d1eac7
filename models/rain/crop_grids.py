"""Sampling grids of training crops (`crop_grid`, `turned_grid`, `inner_grid`) for `models.rain.banks.sample`."""

from __future__ import annotations

import torch
from torch import Tensor

from models.rain.banks import Bank
from models.rng import SampleRng


def crop_grid(rng: SampleRng, bank: Bank, index: Tensor, scale: Tensor, size: int) -> Tensor:
    """Place a square crop anywhere in a picture, possibly mirrored; at whole pixels where scale is 1.

    Parameters
    ----------
    rng : SampleRng
        Random numbers of B samples.
    bank : Bank
        The pictures.
    index : Tensor
        (B,) index of the picture per sample.
    scale : Tensor
        (B,) source pixels per crop pixel.
    size : int
        Side of the crop.

    Returns
    -------
    Tensor
        (B, size, size, 2) points (x, y) in pixels.
    """
    extent = (size - 1) * scale
    left, top = (
        (rng.uniform() * (length[index] - 1 - extent).clamp(min=0)).round()
        for length in (bank.widths, bank.heights)
    )
    steps = torch.arange(size, device=rng.device)
    columns = left[:, None] + steps * scale[:, None]
    rows = top[:, None] + steps * scale[:, None]
    columns = torch.where(rng.chance(0.5)[:, None], columns.flip(1), columns)
    return torch.stack(
        (columns[:, None, :].expand(-1, size, -1), rows[:, :, None].expand(-1, -1, size)), dim=-1
    )


def turned_grid(rng: SampleRng, bank: Bank, index: Tensor, angle: Tensor, size: tuple[int, int]) -> Tensor:
    """Place a crop anywhere in a layer: turned by `angle` (B,), rescaled, possibly mirrored; (B, H, W, 2).

    Beyond its edges, the layer is mirrored, so that its rain falls in another direction there, as heavy rain often
    does; rain of a single direction comes from the recorded layers and the procedural families.
    """
    scale = rng.log_uniform(0.6, 1.5)
    flip = torch.where(rng.chance(0.5), 1.0, -1.0)
    centre_x, centre_y = (rng.uniform() * length[index] for length in (bank.widths, bank.heights))
    return _affine_grid((centre_x, centre_y), angle, scale, flip, size)


def inner_grid(
    rng: SampleRng, bank: Bank, index: Tensor, turn: tuple[Tensor, Tensor], size: tuple[int, int]
) -> Tensor:
    """Place a crop inside a layer if the layer is large enough; possibly mirrored.

    Parameters
    ----------
    rng : SampleRng
        Random numbers of B samples.
    bank : Bank
        The layers.
    index : Tensor
        (B,) index of the layer per sample.
    turn : tuple of Tensor
        (B,) angle in radians, and (B,) source pixels per crop pixel.
    size : tuple of int
        Height and width of the crop.

    Returns
    -------
    Tensor
        (B, H, W, 2) points (x, y) in pixels; `models.rain.banks.sample` mirrors a layer beyond its edges.
    """
    angle, scale = turn
    flip = torch.where(rng.chance(0.5), 1.0, -1.0)
    reach = max(size) * scale * (torch.cos(angle).abs() + torch.sin(angle).abs())  # of the turned square
    centre_x, centre_y = (
        length[index] / 2 + (rng.uniform() - 0.5) * (length[index] - reach).clamp(min=0)
        for length in (bank.widths, bank.heights)
    )
    return _affine_grid((centre_x, centre_y), angle, scale, flip, size)


def _affine_grid(
    centre: tuple[Tensor, Tensor], angle: Tensor, scale: Tensor, flip: Tensor, size: tuple[int, int]
) -> Tensor:
    """Return the points of crops about their centres, turned, rescaled and mirrored, (B, H, W, 2)."""
    sine, cosine = torch.sin(angle) * scale, torch.cos(angle) * scale
    rows, columns = (torch.arange(extent, device=angle.device) - extent / 2 for extent in size)
    x = (flip * cosine)[:, None, None] * columns[None, None, :] - sine[:, None, None] * rows[None, :, None]
    y = (flip * sine)[:, None, None] * columns[None, None, :] + cosine[:, None, None] * rows[None, :, None]
    return torch.stack((x + centre[0][:, None, None], y + centre[1][:, None, None]), dim=-1)
