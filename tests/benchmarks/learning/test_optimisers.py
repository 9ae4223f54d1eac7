from __future__ import annotations

import torch

from benchmarks.common.brief_training import Budget
from benchmarks.learning.optimisers import VARIANTS, Variant, measured
from models.evaluation.validation import render_validation
from tests.support.worlds.rainy import small_world


def test_a_course_is_a_row():
    world = small_world()
    pairs = render_validation(world, 1)
    budget = Budget(steps=2, batch=2, crop=32)
    adamw, muon = (
        measured(Variant("student-tiny", False, rate), world, pairs, budget) for rate in (0.0, 0.01)
    )
    assert (adamw.optimiser, muon.optimiser, adamw.steps) == ("AdamW", "Muon 0.01", 2)
    assert torch.isfinite(torch.tensor([adamw.light, muon.heavy, muon.drops, muon.none])).all()


def test_each_network_is_trained_by_both():
    by_network: dict[str, list[float]] = {}
    for variant in VARIANTS:
        by_network.setdefault(variant.network, []).append(variant.muon_rate)
    assert all(rates[0] == 0 < rates[1] for rates in by_network.values())
