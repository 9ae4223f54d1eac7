from __future__ import annotations

import sys
from pathlib import Path

import pytest

from infra.settings import read_settings
from infra.tracking.runs import TrackedRun
from infra.tracking.server import TrackingServer, TrackingUnreachable
from models.training.config import TrainConfig
from tasks.training import command as training
from tests.support.worlds.rainy import write_training_folder


def test_a_training_is_tracked_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DERAIN_WORKSPACE", str(tmp_path / "workspace"))
    data, out = write_training_folder(tmp_path / "data"), tmp_path / "out"
    options = ["--preset=student-tiny", "--steps=4", "--batch=2", "--crop=32", "--validate-every=2"]
    monkeypatch.setattr(sys, "argv", ["training", f"--data={data}", f"--out={out}", *options])
    training.main()
    client = TrackingServer(read_settings()).client()
    run = client.get_run((out / "mlflow_run").read_text())
    assert run.info.status == "FINISHED"
    assert run.data.params["preset"] == "student-tiny"
    assert [point.step for point in client.get_metric_history(run.info.run_id, "heavy")] == [2, 4]
    assert len(client.list_artifacts(run.info.run_id, "images")) >= 8


def test_a_training_that_breaks_off_is_marked_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DERAIN_WORKSPACE", str(tmp_path / "workspace"))
    with pytest.raises(KeyboardInterrupt), training.watched(TrainConfig(), tmp_path / "out"):
        raise KeyboardInterrupt
    run_id = (tmp_path / "out" / "mlflow_run").read_text()
    assert TrackingServer(read_settings()).client().get_run(run_id).info.status == "FAILED"


def test_a_server_that_goes_away_hides_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DERAIN_WORKSPACE", str(tmp_path / "workspace"))

    def away(self: TrackedRun, status: str) -> None:
        raise TrackingUnreachable("the tracking server does not answer")

    monkeypatch.setattr(TrackedRun, "end", away)
    with pytest.raises(ZeroDivisionError), training.watched(TrainConfig(), tmp_path / "out"):
        raise ZeroDivisionError
