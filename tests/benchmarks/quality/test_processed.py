"""Networks on processed photographs: what each kind of processing does, and what the identity scores."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.quality.processed import PROCESSES, measured, rendered
from tests.support.worlds.rainy import small_world

IDENTITY: Any = SimpleNamespace(name="identity", digest="", derain_floats=lambda rainy: rainy)


def test_the_identity_removes_nothing() -> None:
    rows = list(measured(IDENTITY, list(rendered(small_world(), 2))))
    assert [row.processing for row in rows] == list(PROCESSES)
    for row in rows:
        assert row.rain_recall == pytest.approx(0, abs=1e-6)
        assert row.psnr_y == row.psnr_y_input
        assert row.photographs == 2


@pytest.mark.parametrize("name", list(PROCESSES)[1:])
def test_processing_changes_a_photograph_and_keeps_its_range(name: str) -> None:
    (pair,) = rendered(small_world(), 1)
    after = PROCESSES[name](pair.rainy)
    assert not torch.equal(after, pair.rainy)
    assert after.min() >= 0
    assert after.max() <= 1
    assert all(extent % 8 == 0 for extent in after.shape[-2:])
