"""Rules, quotas and history: pseudo-labels that are accepted, rejected or kept, and the reasons."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from infra.limits import CurationLimits
from tasks.curation.acceptance import (
    AGREE,
    TEMPORAL,
    Candidate,
    History,
    Rejection,
    Scores,
    rejection_of,
    rule_on,
)

GOOD = Scores(0.6, 0.02, 0.7, 0.8, 0.8, 0.9, 0.1, 1.0, 0.1, None)
SEEN = Scores(0.8, 0.02, None, None, None, None, None, 1.0, 0.8, 7)
LIMITS = CurationLimits()
NEW = History({}, frozenset(), {}, {})


def candidate(crop_id: str, score: float = 0.6, group: str = "a", **changes: object) -> Candidate:
    scores = replace(GOOD, score=score)
    return replace(Candidate(crop_id, group, crop_id, AGREE, scores, None), **changes)


def decisions(candidates: list[Candidate], history: History = NEW, quota: int = 2) -> dict[str, str]:
    return {each.candidate.crop_id: each.decision for each in rule_on(candidates, history, quota)}


def test_good_ones_pass():
    assert rejection_of(AGREE, GOOD, LIMITS) is None
    assert rejection_of(TEMPORAL, SEEN, LIMITS) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rain_found": 0.0}, "no rain found"),
        ({"confident": 0.0}, "no pixel is sure"),
        ({"agreement": 0.1}, "independent networks found other rain"),
        ({"detail_kept": 0.3}, "detail is lost"),
        ({"rain_recall": 0.1}, "rain and detail are not distinguished"),
        ({"score": 0.2}, "low score"),
        ({"structure_leak": 0.95}, "structure of the scene was taken away"),
        ({"feature_distance": 9.0}, "unlike any labelled photograph"),
        ({"agreement": float("nan")}, "independent networks found other rain"),
    ],
)
def test_each_limit_rejects_with_its_reason(change, words):
    rejection = rejection_of(AGREE, replace(GOOD, **change), LIMITS)
    assert rejection is not None
    assert rejection.reason == words
    (name,) = change
    shown = "informedness" if name == "rain_recall" else name
    assert re.fullmatch(rf"{shown} \S+, at (least|most) \S+ is (needed|allowed)", str(rejection.details))


def test_a_moving_scene_gives_no_background():
    moves = Rejection("the scene does not stand still", "score 0.2, at least 0.5 is needed")
    assert rejection_of(TEMPORAL, replace(SEEN, score=0.2), LIMITS) == moves
    found = rejection_of(TEMPORAL, replace(SEEN, rain_found=0.0), LIMITS)
    assert found is not None
    assert found.reason == "no rain found"


def test_the_best_of_a_source_group_fill_its_quota():
    crops = [candidate(name, score) for name, score in (("w", 0.5), ("x", 0.9), ("y", 0.7))]
    found = rule_on([*crops, candidate("z", 0.5, "b")], NEW, quota=2)
    assert {each.candidate.crop_id: each.decision for each in found} == {
        "x": "accepted",
        "y": "accepted",
        "w": "rejected",
        "z": "accepted",
    }
    assert next(each.rejection for each in found if each.candidate.crop_id == "w") == Rejection(
        "the quota of its source group is full", "2 crops"
    )


def test_crops_accepted_by_earlier_runs_count():
    full = replace(NEW, taken={"a": 2})
    assert decisions([candidate("x"), candidate("y", group="b")], full) == {"x": "rejected", "y": "accepted"}


def test_an_accepted_one_is_replaced_only_by_a_better_one():
    before = replace(NEW, ranks={"x": (0, 0.7), "y": (0, 0.5), "z": (0, 0.5)}, taken={"a": 3})
    worse = candidate("z", 0.9, rejection=Rejection("detail is lost"))
    assert decisions([candidate("x", 0.6), candidate("y", 0.6), worse], before) == {
        "x": "kept",
        "y": "accepted",
        "z": "kept",
    }


def test_a_background_is_before_what_a_network_made():
    seen = candidate("x", rule=TEMPORAL, scores=replace(SEEN, score=0.6))
    assert decisions([seen], replace(NEW, ranks={"x": (0, 0.9)})) == {"x": "accepted"}
    assert decisions([candidate("x", 0.95)], replace(NEW, ranks={"x": (1, 0.6)})) == {"x": "kept"}


def test_the_same_pixels_are_taken_once():
    twins = [candidate("x", 0.8, "a", content="same"), candidate("y", 0.7, "b", content="same")]
    assert decisions(twins) == {"x": "accepted", "y": "rejected"}
    known = replace(NEW, contents={"same": "w"})
    assert decisions(twins, known) == {"x": "rejected", "y": "rejected"}


def test_a_crop_rejected_by_a_reviewer_stays_rejected():
    assert decisions([candidate("x", 0.99)], replace(NEW, rejected=frozenset("x"))) == {"x": "rejected"}
