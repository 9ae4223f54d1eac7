from __future__ import annotations

import math

import pytest
import torch

from models.evaluation.strokes import Strokes, along, path


def line(angle: float, length: float = 20.0, width: float = 1.0, brightness: float = 0.5) -> Strokes:
    place = along(length)
    start = (torch.tensor([[10.0]]), torch.tensor([[16.0]]))
    rows, columns = path(start, torch.tensor([[length]]), torch.full((1, len(place)), angle))
    return Strokes(rows, columns, torch.full_like(rows, width), torch.full_like(rows, brightness))


@pytest.mark.parametrize("angle", [0.0, 0.7, -1.2])
def test_a_path_goes_as_far_as_its_length_in_its_direction(angle):
    drawn = line(angle)
    assert float(drawn.rows[0, -1] - 10) == pytest.approx(20 * math.cos(angle), abs=1e-3)
    assert float(drawn.columns[0, -1] - 16) == pytest.approx(20 * math.sin(angle), abs=1e-3)


def test_a_line_is_gaussian_across_and_even_along():
    layer = line(0.0).draw((40, 32))
    across = torch.exp(-0.5 * torch.arange(-3.0, 4.0) ** 2) * 0.5
    for row in range(12, 28):
        torch.testing.assert_close(layer[row, 13:20], across, atol=0.012, rtol=0)
    assert layer.max() <= 0.5
    assert float(layer[:6].max()) == 0.0


def test_a_thin_line_has_no_gaps():
    layer = line(0.0, width=0.5).draw((40, 32))
    assert float(layer[11:29, 16].min()) > 0.9 * 0.5


def test_where_lines_cross_the_brighter_is_seen():
    both = Strokes(
        *(
            torch.cat(parts)
            for parts in zip(
                *(
                    (one.rows, one.columns, one.width, one.brightness)
                    for one in (line(0.0), line(0.0, brightness=0.2))
                ),
                strict=True,
            )
        )
    )
    torch.testing.assert_close(both.draw((40, 32)), line(0.0).draw((40, 32)))


def test_strokes_outside_the_frame_are_not_drawn():
    away = line(0.0)
    away = Strokes(away.rows + 100, away.columns, away.width, away.brightness)
    assert float(away.draw((40, 32)).max()) == 0.0
