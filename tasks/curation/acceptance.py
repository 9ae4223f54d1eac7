"""Acceptance of pseudo-labels (`rule_on`): named rules, quotas, and reviewers' decisions, which override rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from infra.limits import CurationLimits
from models.evaluation.probes import ProbeScore
from models.pseudo_labels.scores import LayerScore, combined_score

AGREE = "agree-1"
"""Rule: independent networks found the same rain, and the judged network keeps detail on this crop."""
TEMPORAL = "temporal-1"
"""Rule: the background was visible in neighbouring frames."""
REVIEWER = "reviewer-1"
"""Rule: a reviewer accepted or rejected the pseudo-label."""
NO_RAIN = "no rain found"
RANKS = {AGREE: 0, TEMPORAL: 1, REVIEWER: 2}
"""Ranks of the rules: an observed background takes precedence over a predicted one whatever the scores, and no rule
replaces a pseudo-label that a reviewer accepted."""


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of a pseudo-label; see `infra.records.PseudoLabelRecord`."""

    score: float
    rain_found: float
    agreement: float | None = None
    elongation: float | None = None
    rain_recall: float | None = None
    detail_kept: float | None = None
    structure_leak: float | None = None
    feature_distance: float | None = None
    confident: float = 0.0
    frames: int | None = None

    @classmethod
    def of_networks(cls, found: LayerScore, probes: ProbeScore, feature_distance: float, sure: float) -> Self:
        """Combine the scores of a network's pseudo-label; `sure` is its mean confidence."""
        return cls(
            score=combined_score(found, probes).overall,
            rain_found=found.rain_found,
            agreement=found.agreement,
            elongation=found.elongation,
            rain_recall=probes.rain_recall,
            detail_kept=probes.detail_kept,
            structure_leak=found.structure_leak,
            feature_distance=feature_distance,
            confident=sure,
        )

    @property
    def informedness(self) -> float | None:
        """Rain recall + detail kept - 1; see `models.evaluation.probes`."""
        if self.rain_recall is None or self.detail_kept is None:
            return None
        return ProbeScore(self.rain_recall, self.detail_kept).informedness


NOTHING_MEASURED = Scores(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Rejection:
    """The reason for not accepting a pseudo-label, in words that all such crops share, and the crop's figures."""

    reason: str
    details: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """The data of a judged crop on which the final decision depends."""

    crop_id: str
    source_group: str
    content: str
    """Digest that is equal for crops with the same pixels."""
    rule: str
    scores: Scores
    rejection: Rejection | None

    @property
    def rank(self) -> tuple[int, float]:
        """Sort key by which candidates are compared."""
        return RANKS[self.rule], self.scores.score


@dataclass(frozen=True, slots=True)
class History:
    """Decisions of earlier runs that are still in force."""

    ranks: Mapping[str, tuple[int, float]]
    """Ranks of the accepted pseudo-labels, by crop id."""
    rejected: frozenset[str]
    """Crops that a reviewer rejected and that no reviewer has accepted since."""
    taken: Mapping[str, int]
    """Number of crops that rules have accepted, per source group."""
    contents: Mapping[str, str]
    """Crop ids of the accepted crops, by content."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """The decision on a candidate: `accepted`, `rejected` or `kept`."""

    candidate: Candidate
    decision: str
    rejection: Rejection | None


def rejection_of(rule: str, scores: Scores, limits: CurationLimits) -> Rejection | None:
    """Return why a rule rejects a pseudo-label, with value and limit; None if it does not."""
    return next(_rejections(rule, scores, limits), None)


def _rejections(rule: str, scores: Scores, limits: CurationLimits) -> Iterator[Rejection]:
    least = {"rain_found": NO_RAIN, "confident": "no pixel is sure"}
    most = {"feature_distance": "unlike any labelled photograph"}
    if rule == TEMPORAL:
        yield from _below(scores, {"score": "the scene does not stand still"}, {"score": limits.static})
    else:
        least |= {
            "agreement": "independent networks found other rain",
            "detail_kept": "detail is lost",
            "informedness": "rain and detail are not distinguished",
            "score": "low score",
        }
        most |= {"structure_leak": "structure of the scene was taken away"}
    yield from _below(scores, least, {name: getattr(limits, name) for name in least})
    for name, words in most.items():
        value = getattr(scores, name)
        if value is not None and value > getattr(limits, name):
            yield Rejection(words, f"{name} {value:.3g}, at most {getattr(limits, name):g} is allowed")


def _below(scores: Scores, words: Mapping[str, str], limits: Mapping[str, float]) -> Iterator[Rejection]:
    for name, reason in words.items():
        value = getattr(scores, name)
        if value is not None and not value >= limits[name]:
            yield Rejection(reason, f"{name} {value:.3g}, at least {limits[name]:g} is needed")


def rule_on(candidates: Sequence[Candidate], history: History, quota: int) -> list[Ruling]:
    """Decide on candidates, accepting the best of each source group until its quota is full.

    Parameters
    ----------
    candidates : sequence of Candidate
        All candidates that one run judged.
    history : History
        A crop with an accepted pseudo-label keeps it, and its place in the quota, unless the new one is better. A
        crop that a reviewer rejected stays rejected.
    quota : int
        Maximum number of accepted crops per source group.

    Returns
    -------
    list of Ruling
        One per candidate, best first.
    """
    taken, contents, rulings = Counter(history.taken), dict(history.contents), []
    for each in sorted(candidates, key=lambda one: (one.rank, one.crop_id), reverse=True):
        decision, rejection = _ruled(each, history)
        if decision == "accepted" and contents.get(each.content, each.crop_id) != each.crop_id:
            twin = contents[each.content]
            decision, rejection = "rejected", Rejection("the same pixels as another crop", f"crop {twin}")
        elif decision == "accepted" and each.crop_id not in history.ranks:
            if taken[each.source_group] >= quota:
                full = Rejection("the quota of its source group is full", f"{quota} crops")
                decision, rejection = "rejected", full
            else:
                taken[each.source_group] += 1
                contents[each.content] = each.crop_id
        rulings.append(Ruling(each, decision, rejection))
    return rulings


def _ruled(candidate: Candidate, history: History) -> tuple[str, Rejection | None]:
    if candidate.crop_id in history.rejected:
        return "rejected", Rejection("a reviewer rejected this crop")
    before = history.ranks.get(candidate.crop_id)
    if before is not None and (candidate.rejection is not None or candidate.rank <= before):
        return "kept", Rejection(
            "no better than the one accepted before", _reason_not_better(candidate, before[1])
        )
    if candidate.rejection is not None:
        return "rejected", candidate.rejection
    return "accepted", None


def _reason_not_better(candidate: Candidate, score_before: float) -> str:
    if candidate.rejection is None:
        return f"score {candidate.scores.score:.3g} compared with {score_before:.3g}"
    reason, details = candidate.rejection.reason, candidate.rejection.details
    return reason if details is None else f"{reason}: {details}"
