from __future__ import annotations

import pytest

from models.rain.recipes import RECIPES, RainRecipe
from models.training.adaptive_shares import MOST, steered_shares

LEADS = {"light": 9.0, "heavy": 9.0, "fine": 5.0, "faint": 9.0, "drops": 9.0}


def test_where_the_lead_is_smallest_the_share_grows_and_the_sum_stays():
    mixed = RECIPES["mixed"]
    shares = steered_shares(mixed, LEADS)
    assert shares["procedural"] > mixed.procedural
    assert all(shares[name] < getattr(mixed, name) for name in ("recorded", "both", "faint", "drops"))
    assert sum(shares.values()) == pytest.approx(sum(mixed.shares) - mixed.bank)


def test_equal_leads_change_nothing():
    mixed = RECIPES["mixed"]
    shares = steered_shares(mixed, dict.fromkeys(LEADS, 7.0))
    assert shares == pytest.approx({name: getattr(mixed, name) for name in shares})


def test_no_share_runs_away():
    recipe = RainRecipe(recorded=0.4, procedural=0.4)
    shares = steered_shares(recipe, {"light": 60.0, "fine": -60.0})
    assert shares["procedural"] / shares["recorded"] == pytest.approx(MOST**2)


def test_kinds_that_a_recipe_does_not_have_stay_out():
    assert steered_shares(RainRecipe(recorded=0.9), LEADS) == pytest.approx({"recorded": 0.9})
    assert steered_shares(RECIPES["none"], LEADS) == {}
