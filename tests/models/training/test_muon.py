from __future__ import annotations

import pytest
import torch
from torch import nn

from models.networks.architectures import build_network, preset
from models.training.muon import MOMENTUM, Muon, orthogonalised, split_kernels
from tests.support.samples.networks import rainy_pair, random_network


@pytest.mark.parametrize("shape", [(3, 16, 144), (2, 32, 8), (1, 8, 8)])
def test_updates_are_nearly_orthogonal(shape):
    torch.manual_seed(0)
    singular = torch.linalg.svdvals(orthogonalised(torch.randn(shape)))
    assert 0.5 < singular.min() < singular.max() < 1.3


def test_updates_do_not_depend_on_the_size_of_a_gradient():
    torch.manual_seed(0)
    matrices = torch.randn(1, 8, 24)
    torch.testing.assert_close(orthogonalised(matrices), orthogonalised(1e-4 * matrices), rtol=0, atol=0.02)


def test_one_step_is_the_formula():
    kernel, bias = nn.Parameter(torch.randn(8, 2, 1, 1)), nn.Parameter(torch.zeros(8))
    before = kernel.detach().clone()
    optimizer = Muon([kernel], [bias], 0.02, 1e-3, 0.0)
    gradient = torch.randn(8, 2, 1, 1)
    kernel.grad, bias.grad = gradient.clone(), torch.full((8,), -3.0)
    optimizer.step()
    direction = gradient.lerp((1 - MOMENTUM) * gradient, MOMENTUM).reshape(1, 8, 2)
    expected = before - 0.02 * 2 * orthogonalised(direction).reshape(8, 2, 1, 1)
    torch.testing.assert_close(kernel.detach(), expected)
    torch.testing.assert_close(
        bias.detach(), torch.full((8,), 1e-3)
    )  # Adam's first step has the size of its rate


def test_parameters_without_a_gradient_stay():
    kernel, bias = nn.Parameter(torch.randn(4, 4, 3, 3)), nn.Parameter(torch.ones(4))
    before = kernel.detach().clone()
    Muon([kernel], [bias], 0.02, 1e-3, 0.1).step()
    assert torch.equal(kernel, before)
    assert bias.eq(1).all()


@pytest.mark.parametrize("name", ["student-tiny", "drd-net-tiny", "afr-net-tiny-student"])
def test_stem_heads_biases_gates_and_depthwise_kernels_are_left_to_adamw(name):
    network = build_network(preset(name))
    kernels, others = split_kernels(network)
    names = {id(parameter): key for key, parameter in network.named_parameters()}
    assert len(kernels) + len(others) == len(names)
    assert all(kernel.ndim == 4 and kernel.shape[1] > 1 for kernel in kernels)
    left = {names[id(parameter)] for parameter in others}
    assert {key for key in names.values() if "bias" in key or "gates" in key or "head" in key} <= left


def test_a_student_learns_by_it():
    torch.manual_seed(0)
    network, pair = random_network("student-tiny").train().requires_grad_(True), rainy_pair(pictures=2)
    optimizer = Muon(*split_kernels(network), 0.02, 3e-3, 1e-5)
    losses = []
    for _ in range(40):
        loss = torch.stack(list(network.loss_terms(pair).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
