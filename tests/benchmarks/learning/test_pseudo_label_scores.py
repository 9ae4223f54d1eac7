"""The benchmark of scores: correlations with the truth and precision of the rule, on invented measurements."""

from __future__ import annotations

from dataclasses import replace

import torch

from benchmarks.learning.pseudo_label_scores import GOOD, MODELS, Measured, measure, rule_row, score_row
from models.pseudo_labels.texture_features import fit_features
from tasks.curation.acceptance import Scores
from tests.support.samples.photographs import PHOTOGRAPHS, as_floats, photograph

SCORES = Scores(0.6, 0.02, 0.7, 0.8, 0.8, 0.9, 0.1, 1.0, 0.1, None)
BAD = Scores(0.0, 0.0, 0.1, 0.2, 0.0, 1.0, 0.1, 1.0, 0.0, None)


def measured(left: float, score: float, model: str = GOOD) -> Measured:
    return Measured("fine", model, replace(SCORES, score=score), left, left)


def test_a_score_that_falls_as_the_error_grows_correlates_negatively():
    rows = [measured(left, 1 - left) for left in (0.2, 0.4, 0.6)]
    rows += [Measured("fine", model, BAD, 1.0, 1.0) for model in MODELS[1:]]
    found = score_row("score", "all", rows)
    assert (found.spearman_left, found.n, found.good_is_first) == (-1.0, 3, True)
    beaten = [*rows, *(measured(0.9, 0.95, "identity") for _ in range(3))]
    assert not score_row("score", "fine", beaten).good_is_first


def test_precision_is_of_what_is_accepted():
    rows = [measured(0.3, 0.6), measured(0.7, 0.7), measured(0.2, 0.1), measured(0.8, 0.1)]
    found = rule_row(GOOD, "fine", rows)
    assert (found.n, found.accepted, found.precision, found.base_rate) == (4, 2, 0.5, 0.5)
    nothing = rule_row("identity", "all", rows)
    assert (nothing.n, nothing.accepted, nothing.precision) == (0, 0, None)


def test_removing_the_whole_layer_leaves_no_error():
    clean = as_floats(photograph("chelsea", 64)) * 0.6
    layer = torch.zeros_like(clean)
    layer[:, :, ::8] = 0.3
    labelled = fit_features([as_floats(photograph(name, side)) for name in PHOTOGRAPHS for side in (64, 72)])
    pair = (clean + layer, clean)
    perfect = measure("fine", GOOD, pair, layer, [layer], lambda rainy: rainy, labelled)
    nothing = measure("fine", GOOD, pair, 0 * layer, [layer], lambda rainy: rainy, labelled)
    assert (perfect.left < 0.01, perfect.left_sure < 0.01) == (True, True)
    assert (nothing.left, nothing.left_sure) == (1.0, 1.0)
