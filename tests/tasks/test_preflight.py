"""What is looked at before any work: a fault there is one line, and nothing was done."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from infra.settings import Settings
from models.semi_config import SemiConfig
from tasks.codec.exports import Export
from tasks.curation.planning import CurationRequest, make_plan
from tasks.media.manifests import ManifestInvalid
from tasks.preflight import REFUSALS, PreflightFailed, looked_at, prepare
from tasks.promotion.comparison import compare
from tasks.promotion.transaction import promote_challenger
from tasks.training.distillation_request import DistillRequest, prepare_distillation
from tasks.training.finetuning_request import FinetuneRequest, prepare_finetuning

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


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("x" * 300, "derained"),
        ("rainy", "x" * 300),
        ("circle", "derained"),
        ("rainy", "circle"),
        ("folder.csv", "derained"),
        ("folder.parquet", "derained"),
    ],
)
def test_a_path_that_cannot_be_used_is_one_line(source: str, destination: str, tmp_path: Path) -> None:
    for name in ("rainy", "folder.csv", "folder.parquet"):
        (tmp_path / name).mkdir()
    (tmp_path / "circle").symlink_to(tmp_path / "back")
    (tmp_path / "back").symlink_to(tmp_path / "circle")
    settings = Settings(workspace=str(tmp_path / "var"))
    with pytest.raises(REFUSALS) as refused:
        prepare(settings, str(tmp_path / source), str(tmp_path / destination), Export("same"), CHAMPION)
    bad = destination if source == "rainy" else source
    assert str(tmp_path / bad) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_manifest_that_may_not_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr("pyarrow.OSFile", denied)  # the tests may run as root, whom nothing is denied
    with pytest.raises(ManifestInvalid, match=r"list\.csv cannot be read as a manifest: .*Permission denied"):
        looked_at(str(tmp_path / "list.csv"))
