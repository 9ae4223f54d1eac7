"""The flow distill: its help, its refusals in one line, and the smoke preset from start to end."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.distill import distill
from infra.settings import read_settings
from infra.tracking.server import TrackingServer
from tests.support.help_texts import assert_help_explains_every_parameter


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DERAIN_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("DERAIN_DEVICE", "cpu")
    monkeypatch.delenv("DERAIN_TRAINING", raising=False)
    return tmp_path / "workspace"


def test_help_explains_every_parameter():
    assert_help_explains_every_parameter(distill)


def test_a_refusal_is_one_line(workspace: Path):
    refused = distill.fn(preset="huge")
    assert (refused.is_failed(), refused.message) == (
        True,
        "preset 'huge': unknown; choose from smoke, small, base",
    )
    assert list(workspace.parent.iterdir()) == []


@pytest.mark.slow
def test_smoke_runs_on_nothing_but_the_package(
    workspace: Path, tracking_tables: Path, capsys: pytest.CaptureFixture[str]
):
    shutil.copytree(tracking_tables, workspace)
    done = distill.fn(preset="smoke", steps=8)
    assert done.is_completed(), done.message
    server = TrackingServer(read_settings())
    client = server.client()
    challenger = client.get_model_version_by_alias("derain-student", "challenger")
    assert challenger.version != client.get_model_version_by_alias("derain-student", "champion").version
    run_id = challenger.tags["training_run"]
    kept = client.get_run(run_id)
    assert kept.info.status == "FINISHED"
    assert [point.step for point in client.get_metric_history(run_id, "heavy")] == [8]
    assert kept.data.tags["teacher"] == "self-ensemble-4:derain-student/1"
    assert kept.data.tags["teacher_leads_enough"] == "True"
    assert kept.data.params["unlabelled_photographs"] == "7"
    assert any(file.path.endswith(".png") for file in client.list_artifacts(run_id, "images"))
    assert run_id in str(done.message)
    assert "student-tiny: 100%" in capsys.readouterr().err
