from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infra.settings import Settings
from infra.tracking.runs import TrackedRun, open_run
from infra.tracking.server import TrackingServer, TrackingUnreachable


@pytest.fixture
def settings(tracking_tables: Path, tmp_path: Path) -> Settings:
    shutil.copytree(tracking_tables, tmp_path / "workspace")
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


def test_a_resumed_training_continues_its_run(settings: Settings, tmp_path: Path):
    first = run_of(settings, tmp_path / "run")
    first.end("FAILED")
    again = run_of(settings, tmp_path / "run")
    assert again.run_id == first.run_id
    assert TrackingServer(settings).client().get_run(again.run_id).info.status == "RUNNING"


def test_a_memory_that_was_never_written_begins_a_run(settings: Settings, tmp_path: Path):
    (tmp_path / "run").write_text("")
    assert run_of(settings, tmp_path / "run").run_id
    assert run_of(settings, tmp_path / "run").run_id == (tmp_path / "run").read_text()


def test_records_that_the_server_refuses_are_sent_later(settings: Settings, tmp_path: Path, monkeypatch):
    run = run_of(settings, tmp_path / "run")

    @contextmanager
    def away(what: str) -> Iterator[None]:
        raise TrackingUnreachable(what)
        yield

    with monkeypatch.context() as patch:
        patch.setattr(run._server, "translate_errors", away)
        run.scalars(1, {"light": 1.0})
        run.scalars(2, {"light": 2.0})
        with pytest.raises(TrackingUnreachable):
            run.end()
    run.scalars(3, {"light": 3.0})
    history = TrackingServer(settings).client().get_metric_history(run.run_id, "light")
    assert [point.value for point in history] == [1.0, 2.0, 3.0]


def test_unsent_records_outlive_their_process(settings: Settings, tmp_path: Path, monkeypatch):
    run = run_of(settings, tmp_path / "run")
    asked = []

    @contextmanager
    def away(what: str) -> Iterator[None]:
        asked.append(what)
        raise TrackingUnreachable(what)
        yield

    with monkeypatch.context() as patch:
        patch.setattr(run._server, "translate_errors", away)
        run.scalars(1, {"light": 1.0})
        for name in ("light", "heavy", "fine"):
            run.picture(1, name, np.full((8, 24, 3), 90, np.uint8))
        run.scalars(2, {"light": 2.0})
    assert len(asked) == 2  # one attempt per validation
    del run
    again = run_of(settings, tmp_path / "run")
    again.scalars(3, {"light": 3.0})
    client = TrackingServer(settings).client()
    history = client.get_metric_history(again.run_id, "light")
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 2.0), (3, 3.0)]
    pictures = [file.path for file in client.list_artifacts(again.run_id, "images")]
    assert len([path for path in pictures if path.endswith(".png")]) == 3
    assert list((tmp_path / "run_unsent").iterdir()) == []


def test_a_picture_arrives_as_it_was(settings: Settings, tmp_path: Path):
    picture = np.arange(8 * 24 * 3, dtype=np.uint8).reshape(8, 24, 3)
    run = run_of(settings, tmp_path / "run")
    run.picture(6, "light", picture)
    client = TrackingServer(settings).client()
    (path,) = (
        file.path for file in client.list_artifacts(run.run_id, "images") if file.path.endswith(".png")
    )
    with Image.open(client.download_artifacts(run.run_id, path)) as kept:
        assert np.array_equal(np.asarray(kept), picture)


def test_a_run_that_the_server_lost_is_begun_again(settings: Settings, tmp_path: Path):
    (tmp_path / "run").write_text("0" * 32)
    run = run_of(settings, tmp_path / "run")
    assert (tmp_path / "run").read_text() == run.run_id != "0" * 32
    assert TrackingServer(settings).client().get_run(run.run_id).data.params["steps"] == "6"


def test_what_was_deleted_in_the_pages_of_mlflow_does_not_stop_a_training(settings: Settings, tmp_path: Path):
    first = run_of(settings, tmp_path / "run")
    client = TrackingServer(settings).client()
    experiment = client.get_run(first.run_id).info.experiment_id
    client.delete_run(first.run_id)
    second = run_of(settings, tmp_path / "run")
    assert second.run_id != first.run_id
    client.delete_experiment(experiment)
    third = run_of(settings, tmp_path / "another")
    assert client.get_run(third.run_id).info.experiment_id == experiment
    assert client.get_experiment(experiment).lifecycle_stage == "active"


def test_tags_figures_and_files_are_kept_with_the_run(settings: Settings, tmp_path: Path):
    run = run_of(settings, tmp_path / "run")
    (tmp_path / "curve.csv").write_text("step\n1\n")
    run.describe({"teacher": "afr-net/2"}, {"lead/before_teacher": 31.5})
    run.file(tmp_path / "curve.csv", "training")
    client = TrackingServer(settings).client()
    kept = client.get_run(run.run_id).data
    assert kept.tags["teacher"] == "afr-net/2"
    assert kept.metrics == {"lead/before_teacher": 31.5}
    assert [file.path for file in client.list_artifacts(run.run_id, "training")] == ["training/curve.csv"]


@pytest.mark.slow
def test_a_server_that_is_away_is_reported_before_any_work(tmp_path: Path):
    settings = Settings(workspace=str(tmp_path), tracking_uri="http://127.0.0.1:9")
    with pytest.raises(TrackingUnreachable, match=r"127\.0\.0\.1:9: the tracking server does not answer"):
        run_of(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()
