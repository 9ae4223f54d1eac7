from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from infra.settings import Settings
from infra.tracking import TrackedRun, open_run
from infra.tracking_server import TrackingServer, TrackingUnreachable


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(workspace=str(tmp_path / "workspace"))


def run_of(settings: Settings, memory: Path) -> TrackedRun:
    return open_run(settings, "training", "student-tiny", {"steps": 6, "preset": "student-tiny"}, memory)


def test_curve_parameters_and_pictures_are_kept(settings: Settings, tmp_path: Path):
    run = run_of(settings, tmp_path / "run")
    run.scalars(3, {"light": 30.5, "heavy": 20.0})
    run.scalars(6, {"light": 31.5, "heavy": 21.0})
    run.picture(6, "light", np.full((8, 24, 3), 90, np.uint8))
    run.end()
    client = TrackingServer(settings).client()
    kept = client.get_run(run.run_id)
    assert kept.info.status == "FINISHED"
    assert kept.data.params == {"steps": "6", "preset": "student-tiny"}
    assert [(point.step, point.value) for point in client.get_metric_history(run.run_id, "light")] == [
        (3, 30.5),
        (6, 31.5),
    ]
    assert any("light" in file.path for file in client.list_artifacts(run.run_id, "images"))


def test_a_resumed_training_goes_on_in_its_run(settings: Settings, tmp_path: Path):
    first = run_of(settings, tmp_path / "run")
    first.end("FAILED")
    again = run_of(settings, tmp_path / "run")
    assert again.run_id == first.run_id
    assert TrackingServer(settings).client().get_run(again.run_id).info.status == "RUNNING"


def test_what_the_server_does_not_take_is_sent_later(settings: Settings, tmp_path: Path, monkeypatch):
    run = run_of(settings, tmp_path / "run")

    @contextmanager
    def away(what: str) -> Iterator[None]:
        raise TrackingUnreachable(what)
        yield

    with monkeypatch.context() as patch:
        patch.setattr(run._server, "faults_named", away)
        run.scalars(1, {"light": 1.0})
        run.scalars(2, {"light": 2.0})
        with pytest.raises(TrackingUnreachable):
            run.end()
    run.scalars(3, {"light": 3.0})
    history = TrackingServer(settings).client().get_metric_history(run.run_id, "light")
    assert [point.value for point in history] == [1.0, 2.0, 3.0]


@pytest.mark.slow
def test_a_server_that_is_away_is_told_before_any_work(tmp_path: Path):
    settings = Settings(workspace=str(tmp_path), tracking_uri="http://127.0.0.1:9")
    with pytest.raises(TrackingUnreachable, match=r"127\.0\.0\.1:9: the tracking server does not answer"):
        run_of(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()
