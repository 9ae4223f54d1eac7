from __future__ import annotations

import sys
from pathlib import Path

import pytest

from infra.settings import read_settings
from infra.tracking_server import TrackingServer
from models.train_config import TrainConfig
from tasks import training
from tests.rainy_worlds import write_training_folder


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
    with pytest.raises(KeyboardInterrupt), training.tracked(TrainConfig(), tmp_path / "out"):
        raise KeyboardInterrupt
    run_id = (tmp_path / "out" / "mlflow_run").read_text()
    assert TrackingServer(read_settings()).client().get_run(run_id).info.status == "FAILED"
