"""What is looked at before any work: a fault there is one line, and nothing was done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from infra.settings import Settings
from models.semi_config import SemiConfig
from tasks.comparison import compare
from tasks.curation_plan import CurationRequest, make_plan
from tasks.distillation_request import DistillRequest, prepare_distillation
from tasks.exports import Export
from tasks.finetuning_request import FinetuneRequest, prepare_finetuning
from tasks.preflight import PreflightFailed, prepare
from tasks.promotion import promote_challenger

CHAMPION = "models:/derain-student@champion"
BEGINNINGS: dict[str, Callable[[Settings], object]] = {
    "derain-batch": lambda settings: prepare(settings, None, None, Export("same"), CHAMPION),
    "finetune": lambda settings: prepare_finetuning(settings, FinetuneRequest(), SemiConfig()),
    "distill": lambda settings: prepare_distillation(
        settings, DistillRequest("smoke", "", CHAMPION, "", "", "", 1, False, 1)
    ),
    "evaluate": lambda settings: compare(settings, CHAMPION, CHAMPION, "run"),
    "promote": lambda settings: promote_challenger(settings, CHAMPION, "run"),
    "curate": lambda settings: make_plan(settings, CurationRequest("run", CHAMPION, None, None, None)),
}


@pytest.mark.parametrize("begin", BEGINNINGS.values(), ids=BEGINNINGS)
def test_a_device_that_is_not_there_is_refused_before_anything_is_made(
    begin: Callable[[Settings], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(PreflightFailed, match=r"DERAIN_DEVICE: device 'cuda': .* use 'auto' or 'cpu'"):
        begin(Settings(workspace=str(tmp_path / "var"), device="cuda"))
    assert not (tmp_path / "var").exists()
