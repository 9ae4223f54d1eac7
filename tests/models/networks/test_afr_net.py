from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from models.networks.afr_net import PRESETS, AfrNet, AfrNetConfig
from models.networks.descriptor import count_gmac, count_parameters
from models.networks.losses import shrink
from tests.support.samples.networks import (
    derain_in_tiles,
    farthest_gradient,
    fit,
    rainy_pair,
    random_network,
    untouched,
)
from tests.support.samples.students import random_pictures

TINY = PRESETS["tiny"]
EXACT = ["paper", "slim", "tiny"]  # mid is the structure of paper, with cells twice as wide
REFLECTING = replace(TINY, unshuffle=1, stem_kernel=7, padding="reflect")


def tiny(config: AfrNetConfig = TINY) -> AfrNet:
    torch.manual_seed(0)
    return random_network(config)


def narrow(config: AfrNetConfig) -> AfrNetConfig:
    """Return a config with the same receptive field but few channels."""
    thin = (2,) * len(config.widths)
    return replace(config, widths=thin, growth=thin)


@pytest.mark.parametrize("config", [TINY, REFLECTING], ids=["tiny", "reflecting"])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (20, 300), (300, 20), (33, 47), (64, 64)])
def test_any_size_comes_back_the_same_size(config, size):
    rainy = random_pictures(1, 3, *size)
    derained = tiny(config)(rainy)
    assert derained.shape == rainy.shape
    assert torch.isfinite(derained).all()
    assert not torch.equal(derained, rainy)


def test_padding_repeats_the_edge():
    rainy = random_pictures(1, 3, 13, 22)
    network = tiny()
    padded = nn.functional.pad(rainy, (0, 2, 0, 3), mode="replicate")
    torch.testing.assert_close(network(rainy), network(padded)[..., :13, :22], atol=0, rtol=0)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_new_network_leaves_photographs_alone_at_every_scale(preset):
    rainy = random_pictures(1, 3, 17, 30)
    with torch.no_grad():
        derained = AfrNet(narrow(PRESETS[preset])).outputs(rainy).derained
    assert len(derained) == len(PRESETS[preset].widths)
    for level, output in enumerate(derained):
        assert torch.equal(output, shrink(rainy, 2**level))


def test_outputs_have_the_shapes_they_say():
    config = PRESETS["slim"]
    with torch.device("meta"):
        outputs = AfrNet(config).outputs(torch.empty(2, 3, 61, 90))
    assert [tuple(output.shape[-2:]) for output in outputs.derained] == [(61, 90), (31, 45), (16, 23)]
    assert outputs.mask_logits.shape == (2, 1, 16, 23)
    grids = [(2, width, 16 >> level, 24 >> level) for level, width in enumerate(config.widths)]
    assert [tuple(features.shape) for features in outputs.refined] == grids
    assert [tuple(features.shape) for features in outputs.decoded] == grids


@pytest.mark.parametrize(
    ("separable", "parameters", "gmac"), [(True, 8.53, 288), (False, 14.39, 480)], ids=["separable", "plain"]
)
def test_paper_has_the_size_and_cost_of_the_authors_code(separable, parameters, gmac):
    counted_parameters, counted = cost(replace(PRESETS["paper"], separable=separable))
    assert counted_parameters == pytest.approx(parameters, rel=0.01)
    assert counted == pytest.approx(gmac, rel=0.01)


@pytest.mark.parametrize(("preset", "least", "most"), [("mid", 50, 80), ("slim", 10, 20)])
def test_presets_keep_to_their_budget(preset, least, most):
    parameters, gmac = cost(PRESETS[preset])
    assert least <= gmac <= most
    assert 2 * parameters * 1e6 < 16 * 2**20  # bytes in fp16: a file that can be shipped


def cost(config: AfrNetConfig) -> tuple[float, float]:
    network = AfrNet(config)
    return count_parameters(network) / 1e6, count_gmac(network)


@pytest.mark.parametrize(
    "config",
    [
        *(narrow(PRESETS[preset]) for preset in EXACT),
        narrow(replace(TINY, rounds=0)),
        narrow(replace(TINY, rounds=1, finishing_blocks=0, opening_blocks=(0, 1, 2))),
        AfrNetConfig(widths=(2,), growth=(2,)),
        AfrNetConfig(widths=(2, 2), growth=(2, 2), rounds=1, unshuffle=2),
    ],
    ids=[*EXACT, "no rounds", "lopsided", "one level", "two levels"],
)
def test_receptive_radius_is_the_farthest_pixel_with_a_gradient(config):
    assert farthest_gradient(AfrNet(config)) == config.receptive_radius


def test_the_receptive_radius_draws_no_random_numbers():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert replace(TINY, widths=(3, 3, 3)).receptive_radius == TINY.receptive_radius
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("config", [TINY, REFLECTING], ids=["tiny", "reflecting"])
def test_tiled_equals_whole(config):
    rainy = random_pictures(1, 3, 4 * config.size_multiple, 1600)
    network = tiny(config)
    tiled, count = derain_in_tiles(network, rainy)
    assert count > 2
    torch.testing.assert_close(tiled, network(rainy), atol=1e-6, rtol=0)


def test_pixels_beyond_the_radius_change_nothing():
    network = tiny(replace(TINY, rounds=1)).double()
    radius = network.config.receptive_radius
    near = random_pictures(1, 3, 24, radius + 160).double()
    far = near.clone()
    far[..., :152] = 0.5
    assert torch.equal(network(far)[..., 152 + radius :], network(near)[..., 152 + radius :])
    assert not torch.equal(network(far)[..., 152:160], network(near)[..., 152:160])


def test_pictures_of_a_batch_do_not_see_each_other():
    network, rainy = tiny(), random_pictures(3, 3, 24, 32)
    alone = torch.cat([network(picture[None]) for picture in rainy])
    torch.testing.assert_close(network(rainy), alone, atol=1e-6, rtol=0)


def test_weights_in_bf16_leave_the_photograph_in_fp32():
    derained = tiny().bfloat16()(random_pictures(1, 3, 24, 32))
    assert derained.dtype == torch.float32


@pytest.mark.parametrize("reconstruction", ["charbonnier", "squared"])
def test_it_learns_one_pair_by_every_term(reconstruction):
    torch.manual_seed(0)
    network = AfrNet(replace(TINY, rounds=1, reconstruction=reconstruction))
    curve = fit(network, rainy_pair(16, 24), steps=60)
    scales = ["scale_1", "scale_2", "scale_4"]
    assert list(curve[0]) == [*scales, *(["frequency"] if reconstruction == "charbonnier" else []), "mask"]
    for name, begun in curve[0].items():
        assert curve[-1][name] < 0.5 * begun, name


def test_coarse_scales_weigh_less():
    terms = AfrNet(TINY).loss_terms(rainy_pair())
    assert terms["scale_1"] > 3 * terms["scale_2"] > 9 * terms["scale_4"] > 0


def test_an_identity_pair_asks_for_nothing_but_an_empty_mask():
    pair = rainy_pair(33, 46)
    identity = replace(pair, rainy=pair.clean, streaks=torch.zeros_like(pair.streaks))
    terms = AfrNet(replace(TINY, reconstruction="squared")).loss_terms(identity)
    assert [name for name, term in terms.items() if term > 0] == ["mask"]


def test_the_loss_reaches_every_parameter():
    torch.manual_seed(0)
    network = random_network(TINY).requires_grad_(True)
    terms = network.loss_terms(rainy_pair())
    assert untouched(network, torch.stack(list(terms.values())).sum()) == []


def test_refinement_learns_the_mask_decoder_too():
    """Even without the mask's own loss term, the attention passes gradients back to the mask decoder."""
    torch.manual_seed(0)
    network = random_network(TINY).requires_grad_(True)
    assert untouched(network.mask_decoder, network.loss_terms(rainy_pair())["scale_1"]) == []


@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_rounds_are_what_refines(rounds):
    config = replace(TINY, rounds=rounds)
    network = tiny(config)
    seen = []
    network.encoder.register_forward_hook(lambda _, __, output: seen.extend(output[1]))
    refined = network.outputs(random_pictures(1, 3, 24, 32)).refined
    same = [torch.equal(*pair) for pair in zip(seen, refined, strict=True)]
    assert same == [rounds == 0] * 3


@pytest.mark.parametrize("sizes", [{"widths": ()}, {"growth": (4, 4)}, {"widths": (4,) * 5}])
def test_levels_that_make_no_network_are_refused(sizes):
    with pytest.raises(ValueError, match="for 1 to 4 levels"):
        replace(TINY, **sizes)


def test_features_are_the_refined_levels_by_scale():
    network, rainy = random_network("afr-net-tiny"), random_pictures(2, 3, 21, 30)
    found, outputs = network.features(rainy), network.outputs(rainy)
    assert torch.equal(found.derained, outputs.derained[0])
    assert list(found.levels) == [2, 4, 8]
    for cell, refined in zip(found.levels, outputs.refined, strict=True):
        height, width = -(-21 // cell), -(-30 // cell)
        assert torch.equal(found.levels[cell], refined[..., :height, :width])
        assert found.levels[cell].shape == (2, network.feature_widths[cell], height, width)
    assert torch.equal(found.rain_mask, torch.sigmoid(outputs.mask_logits))
