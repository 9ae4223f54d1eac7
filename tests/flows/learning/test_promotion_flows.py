"""The flows promote and rollback: their help, their states, and a refusal that names its reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect import Flow
from prefect.exceptions import FailedRun

from flows.evaluate import evaluate
from flows.promote import promote
from flows.rollback import rollback
from infra.catalog.promotions import Ledger
from models.shipped import DEFAULT_WEIGHTS
from tests.support.help_texts import assert_help_explains_every_parameter
from tests.support.worlds.promotion import PAIRS, write_validation


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_validation(tmp_path / "validation")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DERAIN_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("DERAIN_VALIDATION", str(tmp_path / "validation" / "manifest.csv"))
    return tmp_path / "workspace"


@pytest.mark.parametrize("flow", [promote, rollback, evaluate], ids=lambda flow: flow.name)
def test_help_explains_every_parameter(flow: Flow):
    assert_help_explains_every_parameter(flow)


def test_a_refusal_is_one_line(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    refused = promote.fn(challenger=str(DEFAULT_WEIGHTS))
    assert (refused.name, refused.is_failed()) == ("Refused", True)
    with pytest.raises(FailedRun, match="the same network as derain-student/1, the champion"):
        refused.result()
    assert [row.decision for row in Ledger(str(workspace)).rows("derain-student")] == ["adopted", "refused"]
    back = rollback.fn()
    assert (back.is_failed(), "no previous version" in str(back.message)) == (True, True)
    monkeypatch.setenv("DERAIN_GATES__MIN_IMAGES", "few")
    wrong = promote.fn(challenger=str(DEFAULT_WEIGHTS))
    assert str(wrong.message).startswith("DERAIN_GATES__MIN_IMAGES=few: ")


@pytest.mark.slow
def test_an_evaluation_reports_and_changes_nothing(workspace: Path):
    reported = evaluate.fn(challenger=str(DEFAULT_WEIGHTS))
    assert reported.is_completed()
    assert f"the validation set has {PAIRS} pairs" in str(reported.message)
    assert Ledger(str(workspace)).rows("derain-student") == []
    assert {path.suffix for path in (workspace / "evaluations").glob("*.*")} == {".parquet", ".html"}
