"""A handful of images is derained in the run's own process, unless an image may have killed the run before."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.settings import Settings
from tasks.batch.observing import HANDFUL_PIXELS, FlowObserver, is_for_this_process
from tasks.batch.planning.plan import PlanCounts
from tasks.waves.dask_executor import DaskExecutor
from tasks.waves.executors import InProcessExecutor

FEW = PlanCounts(pending=5, pending_pixels=HANDFUL_PIXELS)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(workspace=str(tmp_path), workers=None, _env_file=None)


@pytest.mark.parametrize(
    ("counts", "changes", "follows_death", "is_here"),
    [
        (FEW, {}, False, True),
        (PlanCounts(pending=1, pending_pixels=HANDFUL_PIXELS + 1), {}, False, True),
        (PlanCounts(pending=2, pending_pixels=HANDFUL_PIXELS + 1), {}, False, False),
        (FEW, {}, True, False),
        (FEW, {"cluster": "tcp://scheduler:8786"}, False, False),
        (FEW, {"workers": 2}, False, False),
    ],
    ids=[
        "a handful",
        "one large image",
        "more",
        "after a death",
        "a cluster elsewhere",
        "workers by setting",
    ],
)
def test_which_images_a_run_derains_itself(
    counts: PlanCounts, changes: dict[str, object], follows_death: bool, is_here: bool, settings: Settings
) -> None:
    assert is_for_this_process(settings.model_copy(update=changes), counts, follows_death) == is_here


@pytest.mark.slow
@pytest.mark.parametrize(
    ("follows_death", "expected"), [(False, InProcessExecutor), (True, DaskExecutor)], ids=str
)
def test_a_flow_starts_workers_only_where_they_are_needed(
    follows_death: bool, expected: type, settings: Settings
) -> None:
    with FlowObserver().executor(settings, FEW, follows_death) as executor:
        assert isinstance(executor, expected)
