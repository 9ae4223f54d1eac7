from __future__ import annotations

from dataclasses import replace

import pytest

from models.rain.banks import bank_of
from models.training.semi.data import Targets
from tests.support.worlds.rainy import noise
from tests.support.worlds.semi import real_rain, targets


def test_the_digest_depends_on_what_targets_are_used_for():
    without, some = real_rain(), targets()
    named = [
        without,
        replace(without, temporal=some),
        replace(without, held_out_temporal=some),
        replace(without, photographs=without.held_out_streaks, held_out_streaks=without.photographs),
    ]
    assert len({rain.digest for rain in named}) == len(named)
    assert real_rain(with_targets=True).digest == real_rain(with_targets=True).digest


def test_the_digest_depends_on_shapes():
    tall, wide = (bank_of([noise(*size, 3).reshape(*size, 3)]) for size in ((8, 16), (16, 8)))
    tall = replace(tall, pixels=wide.pixels)
    assert replace(real_rain(), photographs=tall).digest != replace(real_rain(), photographs=wide).digest


def test_targets_of_other_sizes_are_refused():
    some, other = targets(), bank_of([noise(8, 8, 1)])
    with pytest.raises(ValueError, match="confidence differ in number or size"):
        Targets(some.rainy, some.target, other)
