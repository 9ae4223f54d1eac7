"""Checks of device and model, which every computing flow makes first."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from infra.settings import Settings
from infra.tracking.registry import CHAMPION_URL
from models import modelfile
from models.modelfile import ModelFile, read_model_file
from models.training.semi.config import SemiConfig
from tasks.batch.preflight import prepare
from tasks.codec.exports import Export
from tasks.curation.planning import CurationRequest, make_plan
from tasks.promotion.comparison import compare
from tasks.promotion.transaction import promote_challenger
from tasks.refusals import PreflightFailed
from tasks.resolved_model import resolve_model
from tasks.training.distillation_request import DistillRequest, prepare_distillation
from tasks.training.finetuning_request import FinetuneRequest, prepare_finetuning

BEGINNINGS: dict[str, Callable[[Settings], object]] = {
    "derain-batch": lambda settings: prepare(settings, None, None, Export("same"), CHAMPION_URL),
    "finetune": lambda settings: prepare_finetuning(settings, FinetuneRequest(), SemiConfig()),
    "distill": lambda settings: prepare_distillation(
        settings, DistillRequest("smoke", "", CHAMPION_URL, "", "", "", 1, False, 1)
    ),
    "evaluate": lambda settings: compare(settings, CHAMPION_URL, CHAMPION_URL, "run"),
    "promote": lambda settings: promote_challenger(settings, CHAMPION_URL, "run"),
    "curate": lambda settings: make_plan(settings, CurationRequest("run", CHAMPION_URL, None, None, None)),
}


@pytest.mark.parametrize("begin", BEGINNINGS.values(), ids=BEGINNINGS)
def test_a_device_that_is_not_there_is_refused_before_anything_is_made(
    begin: Callable[[Settings], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(PreflightFailed, match=r"DERAIN_DEVICE: device 'cuda': .* use 'auto' or 'cpu'"):
        begin(Settings(workspace=str(tmp_path / "var"), device="cuda"))
    assert not (tmp_path / "var").exists()


def test_shipped_weights_are_read_only_if_no_version_serves(
    tracking_tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(tracking_tables, tmp_path / "workspace")
    settings = Settings(workspace=str(tmp_path / "workspace"), _env_file=None)
    read: list[Path] = []

    def reading(path: Path) -> ModelFile:
        read.append(path)
        return read_model_file(path)

    monkeypatch.setattr(modelfile, "read_model_file", reading)
    first = resolve_model(settings, CHAMPION_URL)
    assert len(read) == 1
    assert resolve_model(settings, CHAMPION_URL) == first
    assert len(read) == 1
