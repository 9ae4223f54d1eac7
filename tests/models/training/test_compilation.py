from __future__ import annotations

import logging

import pytest
import torch

from models.training.compilation import compile_network
from tests.support.samples.networks import random_network
from tests.support.samples.students import random_pictures


def test_without_a_compiler_one_line_is_logged_and_the_network_stays(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def no_compiler(*arguments: object, **settings: object) -> object:
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\nin a long trace")

    monkeypatch.setattr(torch, "compile", no_compiler)
    network, rainy = random_network("student-tiny"), random_pictures(1, 3, 32, 32)
    before = network(rainy)
    with caplog.at_level(logging.WARNING):
        compile_network(network)
    assert [record.getMessage() for record in caplog.records] == [
        "training without torch.compile: InvalidCxxCompiler: No working C++ compiler found"
    ]
    assert torch.equal(network(rainy), before)


@pytest.mark.slow
def test_a_compiled_network_computes_what_it_did():
    network, rainy = random_network("student-tiny"), random_pictures(1, 3, 32, 32)
    before = network(rainy)
    compile_network(network)
    torch.testing.assert_close(network(rainy), before, rtol=0, atol=1e-6)
