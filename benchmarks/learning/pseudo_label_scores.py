"""Compare the scores of pseudo-labels with their true error, on rain whose truth is known.

    python -m benchmarks.learning.pseudo_label_scores --data DATA [--photographs N]

`DATA` contains `train/`, a folder that `models.rain.banks` reads. Its held-out photographs are rendered under the
rain of the learning loop, under fresh rain that influenced no rule or limit (`benchmarks.learning.rain_domains`),
and under rain like that of training. For each score: its rank correlation with the error of the pseudo-label, and
its mean for a good network compared with the identity, a blur and a smoother. For each rule: the share of good
pseudo-labels among the accepted ones and among all. Writes `pseudo_label_scores.csv` and `pseudo_label_rules.csv`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor
from tqdm import tqdm

from benchmarks.common.networks import networks
from benchmarks.common.tables import write_table
from benchmarks.learning.rain_domains import DOMAINS as UNSEEN
from benchmarks.learning.rain_domains import FRESH, Domain, scenes
from benchmarks.quality.smoothers import box_blur, gaussian_blur
from benchmarks.rejected.multi_scale import multi_scale_rain_layer
from infra.limits import CurationLimits
from models.evaluation.probes import Derain, probe
from models.images import RgbImage
from models.modelfile import STUDENT_BASE
from models.pseudo_labels.scores import confidence, layer_score
from models.pseudo_labels.texture_features import LabelledFeatures, fit_features
from models.pseudo_labels.tta import mirrored_rain_layer
from models.rain.banks import TrainingData, load_training_data
from models.rain.recipes import RECIPES, RainRecipe
from models.rain.synthesis import whole_pair
from models.rng import SampleRng
from models.shipped import WEIGHTS
from tasks.curation.acceptance import AGREE, Scores, rejection_of
from tasks.curation.planning import INDEPENDENT

FindRain = Callable[[Derain, Tensor], Tensor]
"""Returns the rain layer that a network finds in a photograph."""
RESULTS = Path(__file__).parents[1] / "results"
GOOD = "student-base"
THREE = f"{GOOD}, three sizes"
MODELS = (GOOD, "identity", "blur 3x3", "over-smoother")
DOMAINS: Mapping[str, Domain | RainRecipe] = {
    **UNSEEN,
    **FRESH,
    **{name: RECIPES[name] for name in ("light", "heavy", "fine", "none")},
}
GROUPS = {"unseen": tuple(UNSEEN), "fresh": tuple(FRESH), "all": tuple(DOMAINS)}
"""Groups of domains that are also reported together."""
SIDE = 256
SEED = 20_261_121
LABELLED = 60
HALVED = 0.5
"""Largest share of the rainy crop's error that a good pseudo-label leaves where it is confident."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One pseudo-label with its scores and its true error."""

    domain: str
    model: str
    scores: Scores
    left: float
    """Error of the whole pseudo-label / error of the rainy crop."""
    left_sure: float
    """The same, weighted by confidence; 1 if the confidence is 0 everywhere."""


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One score: Spearman's correlation with the remaining error (negative is right), and its means."""

    score: str
    judged: str
    domain: str
    n: int
    spearman_left: float
    spearman_left_sure: float
    good: float | None
    identity: float | None
    blur_3x3: float | None
    over_smoother: float | None
    good_is_first: bool


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One rule in a domain or a group of domains: what it accepts within its quota, and the share of good ones."""

    rule: str
    judged: str
    domain: str
    n: int
    accepted: int
    left: float | None
    """Mean remaining share of the error over all pseudo-labels, accepted or not."""
    left_sure_accepted: float | None
    precision: float | None
    """Share of good ones among the accepted pseudo-labels."""
    base_rate: float | None
    """Share of good ones among all pseudo-labels."""


def main() -> None:
    """Measure, print and write both tables."""
    arguments = _parse()
    torch.set_num_threads(1)
    measured = list(_measured(arguments.data / "train", arguments.photographs))
    places = [*GROUPS, *(domain for domain in DOMAINS if domain != "none")]
    scores = [score_row(name, domain, measured) for name in SCORES for domain in places]
    rules = [rule_row(model, domain, measured) for model in (GOOD, THREE) for domain in (*DOMAINS, *GROUPS)]
    rules += [rule_row(model, "all", measured) for model in ("identity", "blur 3x3", "over-smoother")]
    for row in (*scores, *rules):
        print(row)
    write_table(scores, RESULTS / "pseudo_label_scores.csv")
    write_table(rules, RESULTS / "pseudo_label_rules.csv")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning.pseudo_label_scores", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with train/")
    parser.add_argument(
        "--photographs", type=int, default=20, help="held-out photographs per domain; default: 20"
    )
    return parser.parse_args()


def _measured(train: Path, photographs: int) -> Iterator[Measured]:
    data = load_training_data(train, held_out=True)
    labelled = _labelled(train)
    shipped = [STUDENT_BASE, *(WEIGHTS / f"{name}.safetensors" for name in INDEPENDENT)]
    good, *independent = (each.derain_floats for each in networks(shipped))
    judged: Mapping[str, tuple[Derain, FindRain]] = {
        GOOD: (good, mirrored_rain_layer),
        THREE: (good, multi_scale_rain_layer),
        "identity": (lambda rainy: rainy, mirrored_rain_layer),
        "blur 3x3": (box_blur, mirrored_rain_layer),
        "over-smoother": (gaussian_blur, mirrored_rain_layer),
    }
    pairs = [(name, each) for name in DOMAINS for each in _pairs(train, data, name, photographs)]
    for domain, (rainy, clean) in tqdm(pairs, unit="crop"):
        others = [mirrored_rain_layer(each, rainy) for each in independent]
        for model, (derain, find_rain) in judged.items():
            layer = find_rain(derain, rainy)
            yield measure(domain, model, (rainy, clean), layer, others, derain, labelled)


def measure(
    domain: str,
    model: str,
    pair: tuple[Tensor, Tensor],
    layer: Tensor,
    others: Sequence[Tensor],
    derain: Callable[[Tensor], Tensor],
    labelled: LabelledFeatures,
) -> Measured:
    """Score one pseudo-label as a curation does, and measure its true error."""
    rainy, clean = pair
    sure = confidence(layer, others)
    found, probes = layer_score(rainy, layer, others), probe(derain, rainy, seed=SEED)
    derained = (rainy - layer).clamp(0, 1)
    scores = Scores.of_networks(found, probes, labelled.distance(derained), float(sure.mean()))
    before, after = ((each - clean).abs().mean(0) for each in (rainy, derained))
    return Measured(
        domain, model, scores, _share(after, before, torch.ones_like(sure)), _share(after, before, sure)
    )


def _share(after: Tensor, before: Tensor, weight: Tensor) -> float:
    """Return the remaining share of an error; errors below a tenth of a grey level count as that much."""
    least = float(weight.sum()) * 0.1 / 255
    return float((after * weight).sum()) / max(float((before * weight).sum()), least) if least > 0 else 1.0


def _pairs(train: Path, data: TrainingData, name: str, photographs: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the middle of held-out photographs under the rain of a domain, and clean, (3, H, W) each."""
    domain = DOMAINS[name]
    if isinstance(domain, Domain):
        for each in scenes(train, domain, photographs):
            yield _middle(_as_floats(each.frames[0])), _middle(_as_floats(each.clean))
        return
    with_layers = [number for number, layer in enumerate(data.layer_of.tolist()) if layer >= 0]
    chosen = with_layers if name == "light" else range(len(data.photographs))
    for number in chosen[:photographs]:
        pair = whole_pair(data, SampleRng(SEED, torch.tensor([number])), domain, number)
        yield _middle(pair.rainy[0]), _middle(pair.clean[0])


def _as_floats(picture: RgbImage) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1) / 255


def _middle(picture: Tensor) -> Tensor:
    top, left = (max(0, (extent - SIDE) // 2) for extent in picture.shape[-2:])
    return picture[..., top : top + SIDE, left : left + SIDE]


def _labelled(train: Path) -> LabelledFeatures:
    data = load_training_data(train, held_out=False)
    pictures = (data.photographs.picture(number) for number in range(min(LABELLED, len(data.photographs))))
    return fit_features([_middle(picture) for picture in pictures])


def _elongated_agreement(scores: Scores) -> float:
    return (scores.agreement or 0.0) * (scores.elongation or 0.0)


SCORES: Mapping[str, Callable[[Scores], float | None]] = {
    "score": lambda scores: scores.score,
    "agreement": lambda scores: scores.agreement,
    "agreement x elongation": _elongated_agreement,
    "informedness": lambda scores: scores.informedness,
    "rain_found": lambda scores: scores.rain_found,
    "confident": lambda scores: scores.confident,
    "rain_recall": lambda scores: scores.rain_recall,
    "detail_kept": lambda scores: scores.detail_kept,
    "-structure_leak": lambda scores: None if scores.structure_leak is None else -scores.structure_leak,
    "-feature_distance": lambda scores: -(scores.feature_distance or 0.0),
}
"""Scores for which larger is better. Those with a minus are only limits; they are measured to show why."""


def score_row(name: str, place: str, measured: Sequence[Measured]) -> ScoreRow:
    """Compare one score with the truth, under all rain except `none`, where there is nothing to remove."""
    there = [domain for domain in GROUPS.get(place, (place,)) if domain != "none"]
    rainy = [each for each in measured if each.domain in there]
    means = {
        model: _mean(SCORES[name](each.scores) for each in rainy if each.model == model) for model in MODELS
    }
    good = [each for each in rainy if each.model == GOOD and SCORES[name](each.scores) is not None]
    values = [SCORES[name](each.scores) for each in good]
    return ScoreRow(
        score=name,
        judged=GOOD,
        domain=place,
        n=len(good),
        spearman_left=_spearman(values, [each.left for each in good]),
        spearman_left_sure=_spearman(values, [each.left_sure for each in good]),
        good=means[GOOD],
        identity=means["identity"],
        blur_3x3=means["blur 3x3"],
        over_smoother=means["over-smoother"],
        good_is_first=(means[GOOD] or 0.0) > max(means[model] or 0.0 for model in MODELS[1:]),
    )


def rule_row(model: str, place: str, measured: Sequence[Measured]) -> RuleRow:
    """Apply the rule with its default limits and its quota, counting each domain as a source group."""
    limits = CurationLimits()
    there = GROUPS.get(place, (place,))
    of_model = [each for each in measured if each.model == model and each.domain in there]
    accepted = []
    for group in {each.domain for each in of_model}:
        passed = [
            each
            for each in of_model
            if each.domain == group and rejection_of(AGREE, each.scores, limits) is None
        ]
        accepted += sorted(passed, key=lambda each: -each.scores.score)[: limits.quota]
    return RuleRow(
        rule=AGREE,
        judged=model,
        domain=place,
        n=len(of_model),
        accepted=len(accepted),
        left=_mean(each.left for each in of_model),
        left_sure_accepted=_mean(each.left_sure for each in accepted),
        precision=_mean(float(each.left_sure <= HALVED) for each in accepted),
        base_rate=_mean(float(each.left_sure <= HALVED) for each in of_model),
    )


def _spearman(values: Sequence[float | None], errors: Sequence[float]) -> float:
    return round(float(spearmanr(values, errors).statistic), 3)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 4) + 0.0 if known else None


if __name__ == "__main__":
    main()
