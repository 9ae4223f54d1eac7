"""Layers of planted probes: families of rain that no training uses, and families of thin detail that is not rain.

Rain is grey, brighter than what lies behind it, scattered, and falls in one direction; wires, text, grass and
gratings are dark, coloured, clustered or regular. Both are drawn with the same range of widths and contrasts, so
that a filter which knows only how thin a line is cannot distinguish them. Every layer is (3, H, W), signed, peak
at most 1, and drawn from one random stream (a `SampleRng` of one sample).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from models.evaluation.strokes import Strokes, along, path
from models.rng import SampleRng

Family = Callable[[SampleRng, tuple[int, int]], Tensor]

WIDTH = (0.5, 1.3)
"""Standard deviation across a line in pixels."""
LENGTH = (15.0, 90.0)
"""Length of streaks in pixels."""
DENSITY = (2e-4, 1.2e-3)
"""Streaks per pixel."""
FEWEST = 8
"""Minimum number of streaks, some of which may be outside a small frame."""
GREEN = (-0.6, 0.8, -0.6)
DARK = (-1.0, -1.0, -1.0)


@dataclass(frozen=True, slots=True)
class _Rainfall:
    """The S streaks of one rainfall before they are drawn; every field is (S, 1)."""

    rows: Tensor
    columns: Tensor
    length: Tensor
    angle: Tensor
    width: Tensor
    brightness: Tensor


def beaded_rain(rng: SampleRng, size: tuple[int, int]) -> Tensor:
    """Draw straight streaks with bright beads along them and faint ends.

    Drops oscillate as they fall, which leaves speckles and highlights within a streak (Garg and Nayar, SIGGRAPH
    2006); a cosine along the line stands for them here (ours).
    """
    rainfall = _rainfall(rng, size)
    place = along(LENGTH[1])
    beads, phase, depth = (
        _each(rng, len(rainfall.rows), *limits) for limits in ((2, 6), (0, 2 * math.pi), (0.3, 0.8))
    )
    shine = 1 - depth * (0.5 + 0.5 * torch.cos(2 * math.pi * beads * place + phase))
    return _streaks(rainfall, rainfall.angle.expand(-1, len(place)), shine * _taper(place), size)


def bent_rain(rng: SampleRng, size: tuple[int, int]) -> Tensor:
    """Draw streaks that gusts bend, all to the same side, faint towards both ends."""
    rainfall = _rainfall(rng, size)
    place = along(LENGTH[1])
    gust = rng.uniform(0.2, 0.8) * torch.where(rng.chance(0.5), 1.0, -1.0)
    bend = gust * _each(rng, len(rainfall.rows), 0.6, 1.0)
    return _streaks(rainfall, rainfall.angle + bend * (place - 0.5), _taper(place), size)


def comet_rain(rng: SampleRng, size: tuple[int, int]) -> Tensor:
    """Draw streaks with a bright, wide head at the lower end and a long thin tail."""
    rainfall = _rainfall(rng, size)
    place = along(LENGTH[1])
    tail = _each(rng, len(rainfall.rows), 0.5, 2.0)
    widening = (0.5 + 0.5 * place).expand(len(rainfall.rows), -1)
    return _streaks(rainfall, rainfall.angle.expand_as(widening), place**tail, size, widening)


def wires(rng: SampleRng, size: tuple[int, int]) -> Tensor:
    """Draw dark wires across the whole frame, sagging a little."""
    height, width = size
    count = 3 + int(rng.integer(6))
    place = along(math.hypot(height, width))
    rows, slope, sag = (_each(rng, count, *limits) for limits in ((0.05, 0.95), (-0.3, 0.3), (0.0, 0.08)))
    bow = rows + slope * (place - 0.5) + sag * (1 - (2 * place - 1) ** 2)
    columns = (place * (width - 1)).expand(count, -1)
    thickness, contrast = _each(rng, count, *WIDTH), _each(rng, count, 0.6, 1.0)
    lines = Strokes(bow * height, columns, thickness.expand_as(bow), contrast.expand_as(bow))
    return _tinted(lines.draw(size), DARK)


def text(rng: SampleRng, size: tuple[int, int]) -> Tensor:
    """Draw lines of text-like signs, some dark and some light."""
    layer = torch.zeros(3, *size)
    for _ in range(4):
        tone = 1.0 if bool(rng.chance(0.5)) else -1.0
        layer = layer + _tinted(_line_of_text(rng, size), (tone, tone, tone))
    return layer.clamp(-1, 1)


def grass(rng: SampleRng, size: tuple[int, int]) -> Tensor:
    """Draw tufts of curved blades, dark and green, that stand in the lower part of the frame."""
    return (_blades(rng, size, DARK) + _blades(rng, size, GREEN)).clamp(-1, 1)


def grating(rng: SampleRng, size: tuple[int, int]) -> Tensor:
    """Draw evenly spaced parallel lines, light or dark, in a rectangle: fences, blinds, cladding."""
    extents = [int(extent * float(rng.uniform(0.4, 0.8))) for extent in size]
    corner = [int(rng.integer(extent - part + 1)) for extent, part in zip(size, extents, strict=True)]
    angle, period = rng.uniform(-math.pi / 2, math.pi / 2), rng.log_uniform(6.0, 16.0)
    rows, columns = (torch.arange(extent) for extent in extents)
    across = columns * torch.cos(angle) + rows[:, None] * torch.sin(angle)
    offset = torch.remainder(across, period) - period / 2
    lines = torch.exp(-0.5 * (offset / rng.uniform(WIDTH[0], 1.0)) ** 2)
    layer = torch.zeros(size)
    layer[corner[0] : corner[0] + extents[0], corner[1] : corner[1] + extents[1]] = lines
    return _tinted(layer, (1.0, 1.0, 1.0) if bool(rng.chance(0.5)) else DARK)


RAIN_FAMILIES: Mapping[str, Family] = {"beaded": beaded_rain, "bent": bent_rain, "comet": comet_rain}
"""Families of rain; none of them is used in training."""
DETAIL_FAMILIES: Mapping[str, Family] = {"wires": wires, "text": text, "grass": grass, "grating": grating}


def _each(rng: SampleRng, count: int, low: float, high: float) -> Tensor:
    """Draw one number per line, (count, 1)."""
    return rng.uniform(low, high, shape=(count, 1))[0]


def _rainfall(rng: SampleRng, size: tuple[int, int]) -> _Rainfall:
    """Scatter streaks over the frame, and beyond its edges by half the longest one."""
    height, width = size
    margin = LENGTH[1] / 2
    area = (height + 2 * margin) * (width + 2 * margin)
    count = FEWEST + math.ceil(float(rng.log_uniform(*DENSITY)) * area)
    angle = rng.uniform(-0.6, 0.6) + _each(rng, count, -0.05, 0.05)
    length = LENGTH[0] * (LENGTH[1] / LENGTH[0]) ** _each(rng, count, 0, 1)
    rows = _each(rng, count, -margin, height + margin) - torch.cos(angle) * length / 2
    columns = _each(rng, count, -margin, width + margin) - torch.sin(angle) * length / 2
    return _Rainfall(rows, columns, length, angle, _each(rng, count, *WIDTH), _each(rng, count, 0.4, 1.0))


def _streaks(
    rainfall: _Rainfall, angle: Tensor, shine: Tensor, size: tuple[int, int], widening: Tensor | None = None
) -> Tensor:
    """Draw a rainfall; angle, share of brightness and share of width are given per dot, (S, P) each."""
    rows, columns = path((rainfall.rows, rainfall.columns), rainfall.length, angle)
    width = rainfall.width.expand_as(rows) if widening is None else rainfall.width * widening
    layer = Strokes(rows, columns, width, rainfall.brightness * shine.expand_as(rows)).draw(size)
    return layer.expand(3, -1, -1)


def _taper(place: Tensor) -> Tensor:
    """Fade a line at both ends."""
    return 1 - (2 * place - 1) ** 4


def _line_of_text(rng: SampleRng, size: tuple[int, int]) -> Tensor:
    """Draw a row of signs, (H, W), each of three strokes between points of a 3 by 2 grid; S strokes of P dots."""
    tall = float(rng.uniform(10, 24))
    count = 8 + int(rng.integer(16))
    top, left = rng.uniform(0, max(size[0] - tall, 1)), rng.uniform(0, size[1] * 0.7)
    ends = rng.uniform(0, 1, shape=(4, 3 * count))[0]  # (4, S)
    shifted = (torch.arange(3 * count) // 3) * 0.75 * tall  # (S,)
    place = along(1.2 * tall)  # (P,)
    rows_from, rows_to = ((2.999 * part).floor() / 2 * tall for part in ends[:2])
    columns_from, columns_to = ((1.999 * part).floor() * 0.5 * tall for part in ends[2:])
    rows = top + torch.lerp(rows_from[:, None], rows_to[:, None], place)  # (S, P)
    columns = left + shifted[:, None] + torch.lerp(columns_from[:, None], columns_to[:, None], place)
    width = rng.uniform(WIDTH[0], 1.0).expand_as(rows)
    return Strokes(rows, columns, width, torch.ones_like(rows)).draw(size)


def _blades(rng: SampleRng, size: tuple[int, int], colour: tuple[float, float, float]) -> Tensor:
    height, width = size
    count = FEWEST + math.ceil(float(rng.log_uniform(*DENSITY)) * height * width)
    place = along(60.0)
    rows, columns = _each(rng, count, 0.4 * height, 1.1 * height), _each(rng, count, 0, width)
    lean, bend = _each(rng, count, -0.7, 0.7), _each(rng, count, -0.9, 0.9)
    upwards = math.pi + lean + bend * place
    rows, columns = path((rows, columns), _each(rng, count, 15.0, 60.0), upwards)
    width_there = _each(rng, count, *WIDTH) * (1 - 0.6 * place)
    contrast = _each(rng, count, 0.4, 1.0).expand_as(rows)
    return _tinted(Strokes(rows, columns, width_there, contrast).draw(size), colour)


def _tinted(layer: Tensor, colour: tuple[float, float, float]) -> Tensor:
    return layer * torch.tensor(colour)[:, None, None]
