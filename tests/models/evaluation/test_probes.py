from __future__ import annotations

from collections.abc import Callable
from statistics import fmean

import pytest
import torch
from torch import Tensor

from benchmarks.quality.smoothers import box_blur, gaussian_blur
from models.evaluation.probe_layers import DETAIL_FAMILIES, RAIN_FAMILIES
from models.evaluation.probes import (
    ProbeScore,
    detail_probes,
    probe,
    probe_families,
    rain_probes,
    with_headroom,
)
from models.modelfile import build, read_model_file
from models.shipped import DEFAULT_WEIGHTS
from tests.support.samples.photographs import PHOTOGRAPHS, as_floats, median, photograph

CAT = as_floats(photograph("chelsea", side=96))


def identity(rainy: Tensor) -> Tensor:
    return rainy


def test_the_identity_takes_no_rain_and_keeps_all_detail():
    found = probe(identity, CAT, seed=1)
    assert found.rain_recall == pytest.approx(0, abs=1e-6)
    assert found.detail_kept == pytest.approx(1, abs=1e-6)
    assert found.informedness == pytest.approx(0, abs=1e-6)


def test_an_oracle_takes_all_rain_and_keeps_all_detail():
    def oracle(rainy: Tensor) -> Tensor:
        rains = len(RAIN_FAMILIES)
        return torch.cat((rainy[:1].expand(1 + rains, -1, -1, -1), rainy[1 + rains :]))

    found = probe(oracle, CAT, seed=1)
    assert found == ProbeScore(pytest.approx(1, abs=1e-6), pytest.approx(1, abs=1e-6))
    assert found.informedness == pytest.approx(1, abs=1e-6)


def test_a_share_is_what_the_formula_says():
    families = probe_families(lambda rainy: 0.25 * rainy, CAT, seed=1)
    assert families == {
        **{name: pytest.approx(0.75, abs=1e-5) for name in RAIN_FAMILIES},
        **{name: pytest.approx(0.25, abs=1e-5) for name in DETAIL_FAMILIES},
    }


def test_changes_of_the_photograph_itself_do_not_count():
    found = probe(lambda rainy: rainy - 0.5 * CAT.flip(2), CAT, seed=1)
    assert (found.rain_recall, found.detail_kept) == (pytest.approx(0, abs=1e-5), pytest.approx(1, abs=1e-5))


def test_removing_more_than_there_is_counts_as_removing_less():
    assert ProbeScore(1.4, 1.0).informedness == pytest.approx(ProbeScore(0.6, 1.0).informedness)
    assert ProbeScore(0.5, 1.3).informedness == pytest.approx(ProbeScore(0.5, 0.7).informedness)


@pytest.mark.parametrize("ground", [torch.zeros(3, 64, 64), torch.ones(3, 64, 64), CAT])
def test_nothing_clips_and_all_is_in_8_bit_levels(ground):
    photo = with_headroom(ground)
    for planted in (*rain_probes(photo, 3), *detail_probes(photo, 3)):
        rainy = photo + planted.planted
        assert float(rainy.min()) >= 0
        assert float(rainy.max()) <= 1 + 1e-6
        torch.testing.assert_close(rainy * 255, (rainy * 255).round(), atol=1e-3, rtol=0)
        assert float(planted.planted.abs().max()) > 0.02


def test_probes_depend_on_seed_and_turn_alone():
    photo = with_headroom(CAT)
    first, again, other, turned = (
        torch.stack([each.planted for each in (*rain_probes(photo, *key), *detail_probes(photo, *key))])
        for key in ((5, 0), (5, 0), (6, 0), (5, 1))
    )
    assert torch.equal(first, again)
    for changed in (other, turned):
        assert all(not torch.equal(one, two) for one, two in zip(first, changed, strict=True))
    assert len({layer.numpy().tobytes() for layer in (*first, *turned)}) == 2 * len(first)


def test_a_frame_that_no_probe_reaches_is_refused():
    with pytest.raises(ValueError, match="2, 2"):
        probe(identity, torch.zeros(3, 2, 2), seed=1)


def mean_score(derain: Callable[[Tensor], Tensor], turn: int) -> ProbeScore:
    scores = [
        probe(derain, as_floats(photograph(name, side=128)), seed, turn)
        for seed, name in enumerate(PHOTOGRAPHS)
    ]
    return ProbeScore(fmean(one.rain_recall for one in scores), fmean(one.detail_kept for one in scores))


@pytest.mark.slow
@pytest.mark.parametrize("turn", [0, 1])
def test_networks_that_confuse_rain_with_detail_rank_below_the_shipped_student(turn):
    """Any useful score must do this: blind scores that a blur or the identity wins are useless."""
    student = mean_score(build(read_model_file(DEFAULT_WEIGHTS)), turn)
    assert student.rain_recall > 0.5
    assert student.detail_kept > 0.8
    smoothed = [mean_score(derain, turn) for derain in (box_blur, gaussian_blur, median)]
    assert all(one.detail_kept < 0.85 < student.detail_kept for one in smoothed)
    for worse in (*smoothed, mean_score(identity, turn)):
        assert worse.informedness < 0.1
        assert worse.informedness + 0.3 < student.informedness
