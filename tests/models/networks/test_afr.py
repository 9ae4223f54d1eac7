from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.networks.afr import Afr, AfrPlugin, MaskBranch, MaskOutputs
from tests.support.samples.networks import counted_gmac, millions_of_parameters, untouched

WIDTHS = (4, 6, 8, 8)
PAPER = (32, 64, 64, 128)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def levels(widths: tuple[int, ...], side: int = 16, pictures: int = 2) -> list[Tensor]:
    return [
        noise(pictures, width, side >> level, (side + 8) >> level, seed=level)
        for level, width in enumerate(widths)
    ]


def mask_outputs(features: list[Tensor], width: int) -> MaskOutputs:
    pictures, _, height, columns = features[0].shape
    return MaskOutputs(
        noise(pictures, 1, height, columns, seed=8), noise(pictures, width, height, columns, seed=9)
    )


def build(widths: tuple[int, ...], mask_width: int = 5, **sizes: object) -> Afr:
    torch.manual_seed(0)
    return Afr(widths, mask_width, **sizes)


@pytest.mark.parametrize("padding", ["reflect", "zeros"])
@pytest.mark.parametrize("separable", [True, False])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_levels_are_refined_and_keep_their_shapes(count, separable, padding):
    features = levels(WIDTHS[:count])
    refined = build(WIDTHS[:count], separable=separable, padding=padding)(features, mask_outputs(features, 5))
    assert [level.shape for level in refined] == [level.shape for level in features]
    for before, after in zip(features, refined, strict=True):
        assert torch.isfinite(after).all()
        assert (after - before).abs().mean() > 0.01


def test_features_are_not_changed():
    features = levels(WIDTHS)
    before = [level.clone() for level in features]
    build(WIDTHS)(features, mask_outputs(features, 5))
    assert all(torch.equal(*pair) for pair in zip(features, before, strict=True))


def test_no_rounds_return_the_features():
    features = levels(WIDTHS)
    refined = build(WIDTHS, rounds=0)(features, mask_outputs(features, 5))
    assert all(torch.equal(*pair) for pair in zip(refined, features, strict=True))


@pytest.mark.parametrize("part", ["logits", "features"])
def test_the_mask_guides_every_level(part):
    features = levels(WIDTHS)
    mask = mask_outputs(features, 5)
    afr = build(WIDTHS)
    other = replace(mask, **{part: -getattr(mask, part)})
    for one, another in zip(afr(features, mask), afr(features, other), strict=True):
        assert (one - another).abs().max() > 1e-3


def test_attention_acts_where_the_mask_changes():
    """One cell of the mask changes the finest level only within the module's receptive field."""
    afr = build((4,), rounds=1)
    features = [noise(1, 4, 8, 64)]
    mask = mask_outputs(features, 5)
    logits = mask.logits.clone()
    logits[..., 0] += 5
    with torch.no_grad():
        (one,), (another,) = afr(features, mask), afr(features, replace(mask, logits=logits))
    changed = (one - another).abs().amax((0, 1, 2))
    assert changed[0] > 1e-3
    assert not changed[12:].any()


def test_every_round_and_branch_learns():
    features = levels(WIDTHS)
    afr = build(WIDTHS, rounds=2)
    loss = sum(level.square().mean() for level in afr(features, mask_outputs(features, 5)))
    assert untouched(afr, loss) == []


def test_the_mask_branch_learns_through_the_refinement_alone():
    torch.manual_seed(0)
    plugin = AfrPlugin(WIDTHS, rounds=1)
    refined = plugin(levels(WIDTHS))
    assert untouched(plugin, sum(level.square().mean() for level in refined.features)) == []


def test_the_mask_term_teaches_the_mask_branch():
    torch.manual_seed(0)
    branch = MaskBranch(WIDTHS)
    outputs = branch(levels(WIDTHS))
    assert outputs.logits.shape == (2, 1, 16, 24)
    assert outputs.features.shape == (2, 4, 16, 24)
    assert untouched(branch, outputs.logits.square().mean()) == []


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_host_of_any_number_of_levels_takes_the_plugin(count):
    features = levels(WIDTHS[:count])
    refined = AfrPlugin(WIDTHS[:count], rounds=1)(features)
    assert [level.shape for level in refined.features] == [level.shape for level in features]
    assert refined.mask_logits.shape == (2, 1, 16, 24)


def test_a_single_pixel_can_be_refined():
    refined = AfrPlugin((4,), rounds=1)([noise(1, 4, 1, 1)])
    assert refined.features[0].shape == (1, 4, 1, 1)


@pytest.mark.parametrize(
    ("separable", "parameters", "gmac"),
    [(True, 8.53 - 14.39 + 7.48, 44), (False, 7.48, 235)],
    ids=["separable", "plain"],
)
def test_size_and_cost_are_those_of_the_authors_code(separable, parameters, gmac):
    """Counts of the authors' code at 512x512 are 7.48 M and 235 GMAC, or 44 GMAC with separable blocks."""
    with torch.device("meta"):
        afr = Afr(PAPER, 32, separable=separable)
        features = [torch.empty(1, width, 512 >> level, 512 >> level) for level, width in enumerate(PAPER)]
        mask = MaskOutputs(torch.empty(1, 1, 512, 512), torch.empty(1, 32, 512, 512))
    with counted_gmac(afr) as counts:
        afr(features, mask)
    assert millions_of_parameters(afr) == pytest.approx(parameters, rel=0.01)
    assert sum(counts) == pytest.approx(gmac, rel=0.01)
