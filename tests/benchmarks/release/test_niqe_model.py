"""Fitting the pristine model of NIQE."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.release.niqe_model import fit_pristine, write_pristine
from models.evaluation.niqe import read_pristine
from tests.support.samples.photographs import PHOTOGRAPHS, photograph


def test_a_model_fitted_and_written_is_read_again(tmp_path: Path):
    fitted = fit_pristine(photograph(name, side=288) for name in PHOTOGRAPHS)
    write_pristine(fitted, tmp_path / "niqe.safetensors")
    read = read_pristine(tmp_path / "niqe.safetensors")
    assert torch.equal(read.mean, fitted.mean)
    assert torch.equal(read.covariance, fitted.covariance)
    torch.testing.assert_close(read.covariance, read.covariance.T)
