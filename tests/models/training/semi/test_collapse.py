from __future__ import annotations

import pytest
import torch

from models.training.semi.collapse import Collapsed, CollapseWatch


def looks(watch: CollapseWatch, found: list[float], rendered: float = 0.04) -> None:
    for step, level in enumerate(found):
        watch.look(10 * step, torch.full((2, 1), rendered), torch.full((3, 2), level))


def test_steady_rain_is_not_a_collapse():
    looks(CollapseWatch(), [0.04] * 50)


@pytest.mark.parametrize("pool", [0.001, 0.02, 0.3])
def test_a_pool_of_lighter_or_heavier_rain_is_not_a_collapse(pool: float):
    looks(CollapseWatch(), [pool] * 50)


def test_finding_more_rain_up_to_the_rendered_amount_is_not_a_collapse():
    looks(CollapseWatch(), [0.01 + 0.001 * step for step in range(40)])


@pytest.mark.parametrize(("after", "amount"), [(0.0, "little"), (0.5, "much")])
def test_nothing_and_everything_are_collapses(after: float, amount: str):
    with pytest.raises(Collapsed, match=f"removes too {amount}.*7.65 at first.*best weights so far are kept"):
        looks(CollapseWatch(), [0.03] * 5 + [after] * 60)


def test_one_odd_batch_is_not_a_collapse():
    looks(CollapseWatch(), [0.03] * 5 + [0.1] + [0.03] * 5 + [0.0] + [0.03] * 5)


def test_an_output_that_is_not_finite_is_a_collapse():
    with pytest.raises(Collapsed, match="nan"):
        looks(CollapseWatch(), [0.03, float("nan")])


def test_processes_see_a_collapse_together(monkeypatch: pytest.MonkeyPatch):
    """One finds somewhat less rain, the other none at all: both stop."""
    others = iter([torch.tensor([0.03, 0.04])] * 5 + [torch.tensor([0.0, 0.04])] * 60)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda ours: ours.add_(next(others)))
    with pytest.raises(Collapsed, match=r"too little.*7\.65 at first"):
        looks(CollapseWatch(), [0.03] * 5 + [0.02] * 60)


def test_a_watch_resumes_where_it_was():
    before, after = CollapseWatch(), CollapseWatch()
    looks(before, [0.03] * 5 + [0.0] * 4)
    after.load_state_dict(before.state_dict())
    with pytest.raises(Collapsed):
        looks(after, [0.0] * 3)
