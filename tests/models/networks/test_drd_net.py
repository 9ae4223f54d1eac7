from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from models.networks.descriptor import count_gmac, count_parameters
from models.networks.drd_net import COARSE_WEIGHT, PRESETS, DrdNet, DrdNetConfig
from models.pairs import RainyPair
from models.rain.recipes import RainRecipe
from models.rain.streaks import BOLD, MEDIUM
from models.rain.synthesis import training_pairs
from tests.support.samples.networks import farthest_gradient, rainy_pair, random_network, untouched
from tests.support.samples.students import random_pictures
from tests.support.worlds.rainy import sample_rng, small_world

TINY = PRESETS["tiny"]
BOUNDED = replace(TINY, squeeze_excite=False)
LOPSIDED = DrdNetConfig(
    width=4, rain_blocks=3, detail_blocks=1, dilations=(1,), norm=True, unshuffle=4, squeeze_excite=False
)


def test_the_paper_s_size_and_cost():
    paper = DrdNet(PRESETS["paper"])
    assert paper.detail is not None
    assert count_parameters(paper.rain) == pytest.approx(1.24e6, rel=0.01)
    assert count_parameters(paper.detail) == pytest.approx(3.99e6, rel=0.01)
    assert count_gmac(paper, 256) == pytest.approx(340, rel=0.01)
    assert count_gmac(paper, 512) == pytest.approx(1361, rel=0.01)


@pytest.mark.parametrize(("preset", "least", "most"), [("mid", 50, 80), ("slim", 5, 15)])
def test_smaller_presets_cost_what_they_may(preset, least, most):
    assert least < count_gmac(DrdNet(PRESETS[preset]), 512) <= most


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (20, 200), (33, 47), (64, 64)])
@pytest.mark.parametrize("unshuffle", [1, 2, 4])
def test_any_size_comes_back_the_same_size(size, unshuffle):
    rainy = random_pictures(1, 3, *size)
    derained = random_network(replace(TINY, unshuffle=unshuffle))(rainy)
    assert derained.shape == rainy.shape
    assert torch.isfinite(derained).all()
    assert not torch.equal(derained, rainy)


def test_padding_repeats_the_edge():
    rainy = random_pictures(1, 3, 13, 21)
    network = random_network(replace(TINY, unshuffle=4))
    padded = nn.functional.pad(rainy, (0, 3, 0, 3), mode="replicate")
    torch.testing.assert_close(network(rainy), network(padded)[..., :13, :21], atol=1e-6, rtol=0)


@pytest.mark.parametrize("preset", ["slim", "tiny"])
def test_a_new_network_leaves_photographs_alone(preset):
    rainy = random_pictures(2, 3, 17, 30)
    assert torch.equal(DrdNet(PRESETS[preset])(rainy), rainy)


def test_pictures_of_a_batch_do_not_see_each_other():
    network = random_network("drd-net-tiny")
    rainy = random_pictures(3, 3, 24, 32)
    alone = torch.cat([network(picture[None]) for picture in rainy])
    torch.testing.assert_close(network(rainy), alone, atol=1e-6, rtol=0)


def test_the_layers_add_up():
    network = random_network("drd-net-tiny")
    rainy = random_pictures(2, 3, 11, 14)
    outputs = network.outputs(rainy)
    assert all(layer.shape == rainy.shape for layer in (outputs.rain, outputs.detail))
    assert not torch.equal(outputs.rain, outputs.detail)
    torch.testing.assert_close(outputs.coarse, rainy - outputs.rain)
    torch.testing.assert_close(outputs.derained, rainy - outputs.rain + outputs.detail)
    assert torch.equal(network(rainy), outputs.derained)


def test_a_photograph_keeps_its_precision_in_a_network_of_bf16():
    rainy = random_pictures(1, 3, 16, 16)
    network = random_network("drd-net-tiny")
    exact = network(rainy)
    rough = network.to(torch.bfloat16)(rainy)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, atol=0.02, rtol=0)


@pytest.mark.parametrize(
    "config",
    [
        BOUNDED,
        LOPSIDED,
        replace(PRESETS["slim"], squeeze_excite=False),
        replace(BOUNDED, detail=False),
        replace(BOUNDED, detail=False, afr_rounds=1),
    ],
    ids=["tiny", "lopsided", "slim", "no detail", "afr"],
)
def test_receptive_radius_is_the_farthest_pixel_with_a_gradient(config):
    assert farthest_gradient(DrdNet(config).eval()) == config.receptive_radius
    assert not config.global_operation


def test_the_papers_radius_is_that_of_its_dilations():
    assert PRESETS["paper"].receptive_radius == 3 + 16 * 2 * 5


@pytest.mark.parametrize(("config", "is_global"), [(TINY, True), (BOUNDED, False)])
def test_only_squeeze_and_excitation_looks_beyond_the_radius(config, is_global):
    network = random_network(config).double()
    near = random_pictures(1, 3, 8, 80).double()
    far = near.clone()
    far[..., 0] = 1 - far[..., 0]
    beyond = slice(config.receptive_radius + 1, None)
    assert torch.equal(network(far)[..., beyond], network(near)[..., beyond]) != is_global
    assert config.global_operation == is_global


def test_batch_norm_learns_its_statistics_in_training_and_uses_them_afterwards():
    network = random_network(replace(TINY, norm=True))
    rainy = random_pictures(4, 3, 16, 16)
    fresh = network(rainy)
    network.train()
    in_training = network(rainy)
    assert not torch.allclose(in_training, fresh, atol=1e-3)
    for _ in range(100):
        network(rainy)
    afterwards = network.eval()(rainy)
    assert (afterwards - in_training).abs().mean() < 0.1 * (fresh - in_training).abs().mean()
    torch.testing.assert_close(afterwards[:1], network(rainy[:1]), atol=1e-5, rtol=0)


def test_without_norm_training_and_inference_are_the_same():
    network = random_network("drd-net-tiny")
    rainy = random_pictures(2, 3, 16, 16)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in network.modules())
    assert torch.equal(network.train()(rainy), network.eval()(rainy))


@pytest.mark.parametrize(
    ("changes", "absent"),
    [
        ({"squeeze_excite": False}, "squeeze"),
        ({"detail": False}, "detail."),
        ({"norm": False}, "running_mean"),
        ({"dilations": (1,)}, "branches.1"),
    ],
    ids=lambda changed: str(changed) if isinstance(changed, dict) else "",
)
def test_disabled_parts_do_not_exist(changes, absent):
    whole = replace(TINY, norm=True)
    names, fewer = (list(DrdNet(config).state_dict()) for config in (whole, replace(whole, **changes)))
    assert any(absent in name for name in names)
    assert not any(absent in name for name in fewer)
    assert set(fewer) < set(names) or changes == {"norm": False}


def test_without_a_detail_network_the_coarse_result_is_the_result():
    outputs = random_network(replace(TINY, detail=False)).outputs(random_pictures(1, 3, 8, 8))
    assert torch.equal(outputs.derained, outputs.coarse)
    assert not outputs.detail.any()


def test_loss_terms_are_those_of_the_paper():
    network = random_network("drd-net-tiny")
    rainy, clean = random_pictures(2, 3, 12, 18, seed=1), random_pictures(2, 3, 12, 18, seed=2)
    terms = network.loss_terms(RainyPair(rainy, clean, rainy[:, :1]))
    outputs = network.outputs(rainy)
    assert set(terms) == {"derained", "coarse"}
    torch.testing.assert_close(terms["derained"], (outputs.derained - clean).abs().mean())
    torch.testing.assert_close(terms["coarse"], 0.1 * (outputs.coarse - clean).abs().mean())
    assert COARSE_WEIGHT == 0.1


def fit(network: nn.Module, pairs: list[RainyPair], steps: int) -> list[dict[str, float]]:
    """Train with plain steps; return the loss terms of each step."""
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    history = []
    for step in range(steps):
        terms: dict[str, Tensor] = network.loss_terms(pairs[step % len(pairs)])
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        history.append({name: float(term.detach()) for name, term in terms.items()})
    return history


@pytest.mark.parametrize("norm", [False, True])
def test_it_learns_one_pair(norm):
    torch.manual_seed(0)
    clean = random_pictures(1, 3, 1, 1).expand(1, 3, 32, 32)
    streaks = (0.4 * (torch.arange(32) % 7 == 0)).expand(1, 1, 32, 32)
    history = fit(DrdNet(replace(TINY, norm=norm)), [RainyPair(clean + streaks, clean, streaks)], 150)
    for name, first in history[0].items():
        assert history[-1][name] < 0.3 * first, name


def test_the_rain_layer_finds_the_streaks_that_were_rendered():
    torch.manual_seed(0)
    world, recipe = small_world(), RainRecipe(procedural=1.0, families=((MEDIUM, 1.0), (BOLD, 1.0)))
    network = DrdNet(TINY)
    pairs = [training_pairs(world, sample_rng(first, first + 8), recipe, 32) for first in range(0, 160, 8)]
    fit(network, pairs, 200)
    unseen = training_pairs(world, sample_rng(1000, 1016), recipe, 32)
    with torch.inference_mode():
        rain = network.outputs(unseen.rainy).rain
    assert correlation(rain, unseen.streaks) > 0.45
    assert correlation(rain, unseen.streaks) > correlation(unseen.rainy, unseen.streaks) + 0.1


def correlation(layer: Tensor, streaks: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([layer.mean(1).flatten(), streaks.flatten()]))[0, 1])


def test_afr_finds_the_rain_and_changes_the_layer():
    config = replace(TINY, afr_rounds=1)
    pair = rainy_pair(18, 26)
    network = random_network(config).requires_grad_(True)
    terms = network.loss_terms(pair)
    assert set(terms) == {"derained", "coarse", "mask"}
    assert network.outputs(pair.rainy).mask_logits.shape == (1, 1, 9, 13)
    assert not untouched(network, torch.stack(list(terms.values())).sum())
