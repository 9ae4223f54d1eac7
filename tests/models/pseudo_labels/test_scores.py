"""Scores of pseudo-labels rank a good network above networks that change nothing, blur or smooth."""

from __future__ import annotations

from statistics import fmean

import pytest
import torch
from torch import Tensor

from benchmarks.quality.smoothers import box_blur, gaussian_blur
from models.evaluation.probes import probe
from models.modelfile import STUDENT_BASE, build, read_model_file
from models.pseudo_labels.layer_maps import agreement_map, directions, rain_found
from models.pseudo_labels.scores import combined_score, confidence, layer_score, structure_leak
from models.pseudo_labels.texture_features import fit_features, texture_features
from models.pseudo_labels.tta import mirrored_rain_layer
from models.shipped import WEIGHTS
from tasks.media.samples import rain_on
from tests.support.samples.photographs import PHOTOGRAPHS, as_floats, photograph
from tests.support.worlds.pools import RAIN

SIDE = 96
SMALL = WEIGHTS / "student-small.safetensors"
CAT = as_floats(photograph("chelsea", SIDE))


def streaks(slant: int = 0, strength: float = 0.3) -> Tensor:
    """Return grey streaks, (3, SIDE, SIDE)."""
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    lines = ((columns + (slant * rows) // 4) % 16 < 2) & (rows % 48 < 30)
    return strength * lines.float().expand(3, -1, -1)


def identity(rainy: Tensor) -> Tensor:
    return rainy


def test_dark_and_faint_layers_are_not_rain():
    layer = torch.tensor([0.2, -0.2, 0.005]).reshape(1, 1, 1, 3).expand(1, 3, 1, 3)
    assert rain_found(layer)[0, 0, 0].tolist() == pytest.approx([0.2, 0, 0])


def test_lines_are_elongated_and_run_together_and_dots_are_not():
    lines = directions(rain_found(streaks(slant=1)[None]))
    generator = torch.Generator().manual_seed(0)
    dots = directions((torch.rand(1, 1, SIDE, SIDE, generator=generator) > 0.95).float())
    inside = (..., slice(12, -12), slice(12, -12))
    assert float(lines.anisotropy[inside].median()) > 0.6
    assert float(dots.anisotropy[inside].median()) < 0.3
    assert float(lines.alignment[inside].median()) > 0.95


def test_two_that_find_nothing_agree_on_nothing():
    nothing, something = torch.zeros(1, 1, SIDE, SIDE), rain_found(streaks()[None])
    assert not agreement_map(nothing, nothing).any()
    assert not agreement_map(nothing, something).any()
    assert float(agreement_map(something, something)[something > 0].mean()) == pytest.approx(1, abs=1e-3)


def test_confidence_speaks_only_where_both_found_rain():
    ours, theirs = streaks(), streaks()
    theirs[..., : SIDE // 2] = 0
    sure = confidence(ours, [theirs])
    assert not sure[:, : SIDE // 2].any()
    assert not sure[ours[0] == 0].any()
    assert float(sure[:, SIDE // 2 + 4 :][ours[0][:, SIDE // 2 + 4 :] > 0].mean()) > 0.8


def test_confidence_is_lost_across_the_rain():
    """An edge that two networks mistake for rain does not have the direction of the rain."""
    edge = torch.zeros(3, SIDE, SIDE)
    edge[:, 80:82, :40] = 0.3
    both = streaks() + edge
    sure = confidence(both, [both])
    assert float(sure[80:82, 4:30].mean()) < 0.3 < float(sure[10:30][streaks()[0, 10:30] > 0].mean())


def test_structure_that_is_taken_away_leaks():
    blurred = box_blur(CAT[None])[0]
    leak, none = (
        structure_leak(CAT, layer, [torch.zeros(1, 1, SIDE, SIDE)]) for layer in (CAT - blurred, 0 * CAT)
    )
    assert leak is not None
    assert leak > 0.1
    assert none == pytest.approx(0, abs=1e-3)
    assert structure_leak(CAT, 0 * CAT, [torch.ones(1, 1, SIDE, SIDE)]) is None


def test_the_agreeing_one_of_several_networks_counts():
    layer = streaks()
    score = layer_score(CAT + layer, layer, [0 * layer, 0.5 * layer])
    assert score.agreement == pytest.approx(0.5, abs=0.01)
    assert score.rain_found == pytest.approx(0.5 * float(layer.mean()), rel=0.01)
    assert layer_score(CAT, 0 * layer, [0 * layer]).agreement == 0


@pytest.fixture(scope="module")
def judged() -> dict[str, list[float]]:
    """Return the overall score and both its parts for each network on photographs under rain, by name."""
    student, small = (build(read_model_file(path)) for path in (STUDENT_BASE, SMALL))
    found: dict[str, list[tuple[float, float, float]]] = {}
    for number, name in enumerate(PHOTOGRAPHS[:4]):
        rainy = as_floats(rain_on(photograph(name, SIDE), number, RAIN))
        others = [mirrored_rain_layer(small, rainy)]
        networks = {"student": student, "identity": identity, "blur": box_blur, "smoother": gaussian_blur}
        for model, derain in networks.items():
            score = layer_score(rainy, mirrored_rain_layer(derain, rainy), others)
            parts = combined_score(score, probe(derain, rainy, seed=number))
            found.setdefault(model, []).append((parts.found, parts.probes, parts.overall))
    return {model: [fmean(part) for part in zip(*parts, strict=True)] for model, parts in found.items()}


@pytest.mark.parametrize("worse", ["identity", "blur", "smoother"])
def test_a_good_network_ranks_above_baselines(judged, worse):
    """This must hold for each score in use: a score that baselines win is useless."""
    assert all(good > 1.3 * bad + 0.05 for good, bad in zip(judged["student"], judged[worse], strict=True))


def test_the_rain_layer_is_rainy_less_derained():
    torch.testing.assert_close(mirrored_rain_layer(lambda rainy: 0.75 * rainy, CAT), 0.25 * CAT)


def test_a_mirror_image_is_averaged():
    """If a network changes only the left half, half of the change is found on either side."""

    def left_alone(rainy: Tensor) -> Tensor:
        changed = rainy.clone()
        changed[..., : SIDE // 2] -= 0.1
        return changed

    torch.testing.assert_close(mirrored_rain_layer(left_alone, CAT), torch.full_like(CAT, 0.05))


def test_features_separate_noise_and_smoothness_from_photographs():
    labelled = fit_features(
        [as_floats(photograph(name, SIDE + 8 * turn)) for name in PHOTOGRAPHS for turn in range(3)]
    )
    noise = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    near = labelled.distance(CAT)
    assert near < 2
    assert all(labelled.distance(far) > 1.5 * near for far in (noise, 0 * CAT, gaussian_blur(CAT[None])[0]))
    assert texture_features(CAT).shape == (24,)


def test_features_are_measured_where_the_photograph_lies():
    assert texture_features(torch.zeros(3, 40, 48, device="meta")).device.type == "meta"


def test_too_few_labelled_photographs_are_refused():
    with pytest.raises(ValueError, match="2 labelled photographs"):
        fit_features([CAT, CAT])
