from __future__ import annotations

import torch
from torch.nn import functional as F

from models.training.distill.feature_matching import FeatureMatch, RunningNorm, attention_distance
from tests.support.samples.students import random_pictures


def levels(*widths: int, seed: int = 0) -> dict[int, torch.Tensor]:
    return {
        2**number: random_pictures(2, width, 16 // 2**number, 24 // 2**number, seed=seed + number)
        for number, width in enumerate(widths, 1)
    }


def test_features_are_normalised_by_what_was_seen_so_far():
    norm, first, second = RunningNorm(3), random_pictures(2, 3, 4, 6), 3 + random_pictures(2, 3, 4, 6, seed=1)
    normal = norm(first)
    assert normal.mean(dim=(0, 2, 3)).abs().max() < 1e-5
    torch.testing.assert_close(normal.var(dim=(0, 2, 3), correction=0), torch.ones(3), rtol=1e-3, atol=1e-3)
    norm(second)
    both = torch.cat((first, second))
    torch.testing.assert_close(norm.mean, both.mean(dim=(0, 2, 3)))
    assert int(norm.seen) == 2


def test_long_ago_is_forgotten_slowly():
    norm = RunningNorm(1)
    for _ in range(200):
        norm(torch.zeros(1, 1, 2, 2))
    norm(torch.ones(1, 1, 2, 2))
    torch.testing.assert_close(norm.mean, torch.tensor([0.01]))


def test_the_distance_is_the_published_formula_at_shared_scales_only():
    torch.manual_seed(0)
    match = FeatureMatch({2: 4, 4: 6, 8: 5}, {4: 3, 8: 2, 16: 9}, emphasis=4.0)
    assert match.cells == [4, 8]
    ours, theirs = levels(4, 6, 5), {4: random_pictures(2, 3, 4, 6), 8: random_pictures(2, 2, 2, 3)}
    mask = (random_pictures(2, 1, 16, 24) > 0.7).float()
    expected = 0.0
    for cell in (4, 8):
        target = theirs[cell]
        mean, deviation = target.mean((0, 2, 3)), target.var((0, 2, 3), correction=0)
        target = (target - mean[:, None, None]) / (deviation[:, None, None] + 1e-6).sqrt()
        projection = match.projections[str(cell)]
        projected = torch.einsum("oc,bchw->bohw", projection.weight[:, :, 0, 0], ours[cell])
        distance = (projected + projection.bias[:, None, None] - target).abs()
        rain = F.avg_pool2d(mask, cell)
        expected += ((1 + 4 * rain) * distance).mean()
    torch.testing.assert_close(match(ours, theirs, mask), expected)


def test_gradients_reach_projections_and_student_alone():
    match = FeatureMatch({2: 4}, {2: 3}, emphasis=4.0)
    ours, theirs = levels(4), levels(3, seed=5)
    for level in (*ours.values(), *theirs.values()):
        level.requires_grad_(True)
    match(ours, theirs, torch.ones(2, 1, 16, 24)).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in match.parameters())
    assert ours[2].grad.abs().sum() > 0
    assert theirs[2].grad is None


def test_rain_counts_more():
    match, ours, theirs = FeatureMatch({2: 4}, {2: 3}, emphasis=4.0), levels(4), levels(3, seed=5)
    dry, wet = (match(ours, theirs, torch.full((2, 1, 16, 24), rain)) for rain in (0.0, 1.0))
    torch.testing.assert_close(wet, 5 * dry, rtol=1e-3, atol=0.0)


def test_attention_is_matched_whatever_the_widths_and_the_scale_of_features():
    ours = levels(4, 6)
    same = {cell: 3 * level.repeat(1, 2, 1, 1) for cell, level in ours.items()}
    assert attention_distance(ours, same) < 1e-10
    theirs = levels(4, 6, seed=9)
    expected = 0.0
    for cell in (2, 4):
        maps = [level[cell].square().mean(1).flatten(1) for level in (ours, theirs)]
        first, second = (each / each.norm(dim=1, keepdim=True) for each in maps)
        expected += (first - second).square().sum(1).mean()
    torch.testing.assert_close(attention_distance(ours, theirs), expected)
