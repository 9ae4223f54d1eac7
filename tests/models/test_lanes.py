from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from models.engine import Engine
from models.lanes import LANES, Lanes
from tests.support.samples.students import random_student

CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def photographs(seed: int, height: int = 8, width: int = 10) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (2, height, width, 3), dtype=np.uint8)


def inverted(rainy: Tensor) -> Tensor:
    return 255 - rainy


def test_batches_come_back_in_order_whenever_they_are_asked_for():
    lanes = Lanes(CPU)
    rainy = [photographs(seed) for seed in range(2 * LANES + 1)]
    begun = [lanes.begin(inverted, batch) for batch in rainy]  # more than there are lanes
    for batch, flying in reversed(list(zip(rainy, begun, strict=True))):
        assert np.array_equal(flying.result(), 255 - batch)
        assert np.array_equal(flying.result(), 255 - batch)


def test_batches_of_several_sizes_take_the_same_lanes():
    lanes = Lanes(CPU)
    rainy = [photographs(seed, 4 + seed % 2, 6 + seed % 3) for seed in range(7)]
    for batch, flying in [(batch, lanes.begin(inverted, batch)) for batch in rainy]:
        assert np.array_equal(flying.result(), 255 - batch)


def test_the_caller_may_change_a_batch_once_it_is_begun():
    lanes, rainy = Lanes(CPU), photographs(0)
    before = rainy.copy()
    flying = lanes.begin(inverted, rainy)
    rainy[:] = 0
    assert np.array_equal(flying.result(), 255 - before)


def test_results_belong_to_the_caller():
    lanes = Lanes(CPU)
    first = lanes.begin(inverted, photographs(0)).result()
    for seed in range(1, 2 * LANES):
        lanes.begin(inverted, photographs(seed)).result()
    assert np.array_equal(first, 255 - photographs(0))


def test_memory_is_kept_between_batches_of_one_size():
    lanes = Lanes(CPU)
    addresses = set()
    for seed in range(3 * LANES):
        addresses.add(lanes.begin(inverted, photographs(seed))._derained.data_ptr())
    assert len(addresses) == LANES


@pytest.mark.parametrize("tile_pixels", [10**9, 100])
def test_an_engine_with_lanes_gives_the_bytes_of_one_without(tile_pixels: int):
    plain, laned = (Engine(random_student("tiny"), CPU, torch.float32, tile_pixels) for _ in range(2))
    laned._lanes = Lanes(CPU)
    assert (plain.ahead, laned.ahead) == (0, LANES - 1)
    rainy = [photographs(seed, 33, 50) for seed in range(4)]
    begun = [laned.begin(batch) for batch in rainy]
    for batch, flying in zip(rainy, begun, strict=True):
        assert np.array_equal(flying.result(), plain.derain(batch))
        assert np.array_equal(plain.begin(batch).result(), plain.derain(batch))


def test_a_batch_that_does_not_fit_on_the_device_is_derained_in_halves(monkeypatch: pytest.MonkeyPatch):
    engine = Engine(random_student("tiny"), CPU, torch.float32)
    engine._lanes, passes = Lanes(CPU), []
    whole = engine._pass

    def smaller_pass(rainy: Tensor) -> Tensor:
        passes.append(len(rainy))
        if len(rainy) > 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return whole(rainy)

    monkeypatch.setattr(engine, "_pass", smaller_pass)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    rainy = photographs(0, 16, 16)
    found = engine.begin(rainy).result()
    assert passes == [2, 2, 1, 1]
    assert np.array_equal(found, Engine(random_student("tiny"), CPU, torch.float32).derain(rainy))


@pytest.mark.gpu
@needs_gpu
def test_a_gpu_gives_the_bytes_of_waiting_for_each_batch():
    engine = Engine(random_student("tiny"), torch.device("cuda"), torch.float32)
    rainy = [photographs(seed, 64, 96) for seed in range(6)]
    begun = [engine.begin(batch) for batch in rainy]
    for batch, flying in zip(rainy, begun, strict=True):
        assert np.array_equal(flying.result(), engine.derain(batch))
