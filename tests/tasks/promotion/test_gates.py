"""The gates on invented figures: each loss is refused by its name, and only a significant gain counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from infra.limits import GateLimits
from models.modelfile import ModelFile
from tasks.promotion.gates import Verdict, decide, too_small
from tasks.promotion.scores import Compared, Evaluation, ImageScore
from tasks.promotion.validation_manifest import ValidationManifest, ValidationRow
from tasks.resolved_model import ResolvedModel

MODEL = ResolvedModel(ModelFile(b"", b""), "derain-student", "1")
MANIFEST = ValidationManifest("manifest.csv", "0", ())
BASE = ImageScore(30.0, 0.9, 28.0, 0.88, 0.3, 0.6, 0.95)
LIMITS = GateLimits()


def evaluation(ratio: float = 1.0, noise: float = 0.0, count: int = 24, **changes: float) -> Evaluation:
    """Return the evaluation of a challenger that differs from the champion by these amounts."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(count):
        level = float(generator.normal(0, 2))  # the photograph's own difficulty, the same for both
        champion = replace(BASE, psnr_y=30.0 + level)
        swing = noise if number % 2 else -noise
        differences = {name: value + swing for name, value in changes.items()}
        better = {name: getattr(champion, name) + value for name, value in differences.items()}
        rows.append(Compared(f"{number}.png", f"{number}", champion, replace(champion, **better)))
    return Evaluation(MODEL, MODEL, MANIFEST, tuple(rows), np.full(12, ratio))


def judged(**changes: float) -> Verdict:
    return decide(evaluation(**changes), LIMITS)


@pytest.mark.parametrize(
    "changes", [{"psnr_y": 0.05}, {"rain_recall": 0.01}, {"psnr_y": -0.05, "rain_recall": 0.05}]
)
def test_a_sure_win_that_loses_little_is_better(changes: dict[str, float]):
    verdict = judged(**changes)
    assert verdict.is_better, verdict.refusals
    assert [gate.passed for gate in verdict.gates] == [True] * 6
    assert all(name in verdict.line() for name, value in changes.items() if value > 0)


@pytest.mark.parametrize(
    ("figure", "change"),
    [
        ("psnr_y", -0.15),
        ("ssim_y", -0.003),
        ("rain_recall", -0.04),
        ("detail_kept", -0.03),
        ("clean_change", 0.3),
        ("ratio", 1.2),
    ],
)
def test_each_loss_is_refused_by_its_name(figure: str, change: float):
    winning = {"rain_recall": 0.2} if figure == "psnr_y" else {"psnr_y": 1.0}
    verdict = judged(**winning, **{figure: change})
    name = "latency" if figure == "ratio" else figure
    assert not verdict.is_better
    assert [gate.name for gate in verdict.gates if not gate.passed] == [name]
    assert [line.startswith(f"{name} ") for line in verdict.refusals] == [True]


@pytest.mark.parametrize("changes", [{}, {"ssim_y": 0.02, "detail_kept": 0.04, "ratio": 0.5}])
def test_a_challenger_without_a_gain_is_not_promoted(changes: dict[str, float]):
    verdict = judged(**changes)
    assert all(gate.passed for gate in verdict.gates)
    assert [
        line.startswith("not significantly better in psnr_y or rain recall") for line in verdict.refusals
    ] == [True]


def test_a_gain_that_may_be_chance_is_none():
    assert judged(psnr_y=0.02, noise=0.01).is_better
    unsure = judged(psnr_y=0.02, noise=0.2)
    assert not unsure.is_better


def test_a_loss_within_its_limit_that_may_be_beyond_it_is_refused():
    sure = judged(rain_recall=0.2, detail_kept=-0.015)
    unsure = decide(evaluation(rain_recall=0.2, detail_kept=-0.015, noise=0.04), LIMITS)
    assert sure.is_better
    assert any(line.startswith("detail_kept") for line in unsure.refusals)


def test_figures_and_limits_are_reported_as_they_are():
    by_name = {gate.name: gate for gate in judged(psnr_y=0.5, clean_change=0.1, ratio=1.05).gates}
    clean = by_name["clean_change"]
    assert (clean.n, clean.limit, clean.passed) == (24, LIMITS.clean_change, True)
    assert (clean.champion, clean.challenger, clean.loss) == pytest.approx((0.3, 0.4, 0.1))
    assert by_name["psnr_y"].loss == pytest.approx(-0.5)
    assert by_name["latency"].loss_upper == pytest.approx(1.05)


def test_figures_that_only_some_rows_have_are_compared_on_these():
    whole = evaluation(psnr_y=0.5)
    real = ImageScore(rain_recall=0.5, detail_kept=0.9)
    with_real = replace(whole, photographs=(*whole.photographs, Compared("real.png", "real", real, real)))
    counts = {gate.name: gate.n for gate in decide(with_real, LIMITS).gates}
    assert (counts["psnr_y"], counts["rain_recall"]) == (24, 25)


def manifest_of(pairs: int, scenes: int) -> ValidationManifest:
    """Return a manifest of pairs whose scenes are of about equal size."""
    rows = (ValidationRow(f"{each}", "clean", "0", "0", f"{each % scenes}") for each in range(pairs))
    return ValidationManifest("manifest.csv", "0", tuple(rows))


def test_too_few_pairs_or_scenes_decide_nothing():
    assert too_small(manifest_of(20, 10), LIMITS) is None
    cases = {
        (19, 10): "19 pairs, and a decision needs at least 20",
        (20, 9): "9 scenes with pairs, and a decision needs at least 10",
        (20, 1): "1 scenes with pairs, and a decision needs at least 10",
    }
    for (pairs, scenes), line in cases.items():
        assert too_small(manifest_of(pairs, scenes), LIMITS) == f"the validation set has {line}"


@pytest.mark.parametrize("scenes", [1, 9])
@pytest.mark.parametrize("figure", ["psnr_y", "rain_recall"])
def test_a_gain_in_few_scenes_is_none(figure: str, scenes: int):
    whole = evaluation(**{figure: 0.05})
    photographs = tuple(
        replace(each, scene=str(number % scenes)) for number, each in enumerate(whole.photographs)
    )
    verdict = decide(replace(whole, photographs=photographs), LIMITS)
    assert all(gate.passed for gate in verdict.gates)
    assert verdict.won == ()
    assert f"in {scenes} scenes" in verdict.line()
    assert decide(whole, LIMITS).is_better
