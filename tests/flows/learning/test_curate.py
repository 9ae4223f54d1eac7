"""The flow curate: its help, its refusals in one line, and one run on real workers."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect.exceptions import FailedRun

from flows.curate import curate
from infra.catalog.pseudo_labels import PseudoLabels
from models.modelfile import STUDENT_BASE
from models.shipped import WEIGHTS
from tasks.curation.summary import CurationSummary, Decided
from tasks.workers.unfinished import Unfinished
from tests.support.help_texts import assert_help_explains_every_parameter
from tests.support.worlds.pools import rainy_crops, write_pool


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DERAIN_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("DERAIN_WORKERS", "1")
    return tmp_path / "workspace"


def test_help_explains_every_parameter():
    assert_help_explains_every_parameter(curate)


def test_a_refusal_is_one_line(workspace, monkeypatch):
    empty = curate.fn(teacher=str(STUDENT_BASE))
    assert empty.is_failed()
    assert "the pool has no training crops" in str(empty.message)
    write_pool(workspace, rainy_crops(1))
    unknown = curate.fn(teacher="models/nothing.safetensors")
    assert "nothing.safetensors: no network of this name ships, and there is no such file" in str(
        unknown.message
    )
    nowhere = curate.fn(teacher=str(STUDENT_BASE), decisions="nowhere/decisions.json")
    assert nowhere.is_failed()
    assert "decisions.json" in str(nowhere.message)
    monkeypatch.setenv("DERAIN_CURATION__AGREEMENT", "1.5")
    wrong = curate.fn(teacher=str(STUDENT_BASE))
    assert str(wrong.message).startswith("DERAIN_CURATION__AGREEMENT=")
    assert PseudoLabels(str(workspace)).version() is None


def test_crops_that_are_pending_are_one_line(workspace, monkeypatch):
    left = CurationSummary(Decided.of([]), (Unfinished("crop-1", "not tried"),), 0, 0, 0, None)
    monkeypatch.setattr("flows.curate.curate_pool", lambda *arguments: left)
    with pytest.raises(FailedRun, match=r"1 crops are pending, run it again \(crop-1: not tried\)"):
        curate.fn().result()


@pytest.mark.slow
def test_a_pool_is_judged_on_workers(workspace):
    ids = write_pool(workspace, rainy_crops(2))
    done = curate.fn(teacher=str(STUDENT_BASE), independent=[str(WEIGHTS / "student-small.safetensors")])
    assert done.is_completed()
    assert str(done.message).startswith("2 crops decided: ")
    assert PseudoLabels(str(workspace)).rows()["crop_id"].sort().to_list() == sorted(ids)
