from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.engine import Engine, TilingRefused, fast_dtype, tiles
from models.images import to_rgb
from models.networks.architectures import preset
from models.networks.student import PRESETS, Student
from tests.support.samples.networks import random_network
from tests.support.samples.students import random_student

CPU = torch.device("cpu")
needs_bf16 = pytest.mark.skipif(
    fast_dtype(CPU) != torch.bfloat16, reason="this processor does not compute in bf16"
)
NEVER_TILED = 10**9


def photographs(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def engine(
    dtype: torch.dtype = torch.float32, tile_pixels: int = NEVER_TILED, preset: str = "tiny"
) -> Engine:
    return Engine(random_student(preset), CPU, dtype, tile_pixels)


def levels_apart(first: np.ndarray, second: np.ndarray) -> int:
    assert first.shape == second.shape
    return int(np.abs(first.astype(int) - second.astype(int)).max())


def smallest_budget(preset: str) -> int:
    return (3 * halo(preset)) ** 2


def halo(preset: str) -> int:
    sizes = PRESETS[preset]
    return math.ceil(sizes.receptive_radius / sizes.size_multiple) * sizes.size_multiple


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (20, 2000), (2000, 20), (37, 61)])
@pytest.mark.parametrize("tile_pixels", [1, NEVER_TILED])
def test_any_size_comes_back_the_same_size(size, tile_pixels):
    rainy = photographs(1, *size)
    derained = engine(tile_pixels=tile_pixels).derain(rainy)
    assert derained.shape == rainy.shape
    assert derained.dtype == np.uint8
    assert levels_apart(derained, engine().derain(rainy)) <= 1


def test_the_engine_gives_what_the_student_gives():
    rainy = photographs(1, 33, 50)
    floats = torch.from_numpy(rainy).permute(0, 3, 1, 2).float() / 255
    expected = to_rgb(random_student()(floats)[0])
    assert levels_apart(engine().derain(rainy)[0], expected) <= 1
    assert levels_apart(engine().derain(rainy), rainy) > 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_student_of_zeros_gives_the_very_photograph(dtype):
    rainy = photographs(2, 19, 34)
    untouched = Engine(Student(PRESETS["tiny"]), CPU, dtype)
    assert np.array_equal(untouched.derain(rainy), rainy)


def test_the_input_is_left_alone():
    rainy = photographs(1, 24, 24)
    before = rainy.copy()
    engine().derain(rainy)
    assert np.array_equal(rainy, before)


def test_views_and_read_only_arrays_are_taken():
    rainy = photographs(1, 24, 40)[:, ::-1, ::2]
    rainy.flags.writeable = False
    assert np.array_equal(engine().derain(rainy), engine().derain(rainy.copy()))


@pytest.mark.parametrize(("preset", "size"), [("tiny", (260, 328)), ("base", (328, 480))])
def test_tiled_equals_whole_before_rounding(preset, size):
    student = random_student(preset)
    rainy = torch.from_numpy(photographs(1, *size)).permute(0, 3, 1, 2).float() / 255
    cuts = list(tiles(*rainy.shape[-2:], halo(preset), smallest_budget(preset), student.config.size_multiple))
    assert len(cuts) > 1
    whole, tiled = student(rainy), torch.full_like(rainy, torch.nan)
    for tile in cuts:
        part = student(rainy[:, :, tile.read[0], tile.read[1]])
        tiled[:, :, tile.keep[0], tile.keep[1]] = part[:, :, tile.inner[0], tile.inner[1]]
    torch.testing.assert_close(tiled, whole, atol=1e-6, rtol=0)


def test_a_halo_too_small_would_be_seen():
    """The comparison above can fail: with a halo smaller than the receptive radius, it does."""
    student = random_student()
    rainy = torch.from_numpy(photographs(1, 64, 256)).permute(0, 3, 1, 2).float() / 255
    whole, part = student(rainy), student(rainy[..., :136])
    assert not torch.allclose(part[..., 112:128], whole[..., 112:128], atol=1e-5, rtol=0)


def test_a_network_that_sees_everything_derains_whole_or_not_at_all():
    rainy = photographs(1, 40, 50)
    whole = Engine(random_network("drd-net-tiny"), CPU, torch.float32, tile_pixels=2000)
    assert levels_apart(whole.derain(rainy), rainy) > 5
    smaller = Engine(random_network("drd-net-tiny"), CPU, torch.float32, tile_pixels=1999)
    with pytest.raises(
        TilingRefused, match=r"^more than 1,999 pixels, and drd-net cannot be tiled: it has a"
    ):
        smaller.derain(rainy)


def test_a_photograph_that_padding_makes_too_large_is_refused_too():
    network = Engine(random_network("drd-net-tiny"), CPU, torch.float32, tile_pixels=39 * 49)
    with pytest.raises(TilingRefused):
        network.derain(photographs(1, 39, 49))


def test_a_network_of_many_dilations_is_tiled_exactly():
    bounded = replace(preset("drd-net-tiny"), squeeze_excite=False)
    rainy = photographs(1, 97, 103)
    whole = Engine(random_network(bounded), CPU, torch.float32, NEVER_TILED).derain(rainy)
    tiled = Engine(random_network(bounded), CPU, torch.float32, tile_pixels=60 * 60).derain(rainy)
    assert levels_apart(tiled, whole) <= 1
    assert (tiled != whole).mean() < 1e-3


def test_an_engine_cannot_train():
    network = random_network(replace(preset("drd-net-tiny"), norm=True)).train()
    rainy = photographs(2, 16, 16)
    derain = Engine(network, CPU, torch.float32).derain
    assert levels_apart(derain(rainy)[:1], derain(rainy[:1])) <= 1
    assert np.array_equal(derain(rainy), derain(rainy))


def test_tiled_equals_whole_in_levels():
    rainy = photographs(2, 257, 323)
    tiled = engine(tile_pixels=smallest_budget("tiny")).derain(rainy)
    whole = engine().derain(rainy)
    assert levels_apart(tiled, whole) <= 1
    assert (tiled != whole).mean() < 1e-4  # 1e-6 apart, but rounded differently


@needs_bf16
@pytest.mark.parametrize(("preset", "size"), [("tiny", (257, 323)), ("base", (321, 481))])
def test_tiled_is_whole_within_rounding_in_bf16(preset, size):
    """Results are bit-equal on some processors; others (AMX) sum in another order for another size."""
    rainy = photographs(1, *size)
    tiled = engine(torch.bfloat16, smallest_budget(preset), preset).derain(rainy)
    whole = engine(torch.bfloat16, preset=preset).derain(rainy)
    difference = np.abs(tiled.astype(int) - whole)
    assert difference.max() <= 2
    assert difference.mean() < 0.15


@needs_bf16
def test_company_changes_nothing_in_bf16():
    rainy = photographs(3, 40, 56)
    derain = engine(torch.bfloat16).derain
    assert np.array_equal(derain(rainy), np.concatenate([derain(rainy[i : i + 1]) for i in range(3)]))


@needs_bf16
def test_bf16_is_close_to_fp32():
    rainy = photographs(1, 48, 64)
    difference = engine(torch.bfloat16).derain(rainy).astype(int) - engine().derain(rainy)
    assert np.abs(difference).mean() < 0.5


def test_a_batch_that_does_not_fit_is_halved(monkeypatch):
    rainy = photographs(5, 16, 16)
    expected = engine().derain(rainy)
    small = engine()
    sizes = []
    compute = small._pass

    def short_of_memory(part: np.ndarray) -> np.ndarray:
        sizes.append(len(part))
        if len(part) > 2:
            raise torch.cuda.OutOfMemoryError
        return compute(part)

    monkeypatch.setattr(small, "_pass", short_of_memory)
    assert levels_apart(small.derain(rainy), expected) <= 1
    assert sizes == [5, 2, 3, 1, 2]


def test_one_photograph_that_does_not_fit_is_an_error(monkeypatch):
    def no_memory(part: np.ndarray) -> np.ndarray:
        raise torch.cuda.OutOfMemoryError

    small = engine()
    monkeypatch.setattr(small, "_pass", no_memory)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        small.derain(photographs(2, 16, 16))
