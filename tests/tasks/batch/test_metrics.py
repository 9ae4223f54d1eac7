"""Metrics of a run are written for node_exporter or pushed to a gateway, and never make a run fail."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from flows.console.app import run as run_console
from flows.derain_batch import derain_batch, exported_failures, refuse
from flows.running.command_line import command_of
from infra.settings import Settings
from infra.storage.lease import LeaseHeld
from tasks.batch.metrics import failure_metrics, publish_metrics
from tasks.refusals import PreflightFailed
from tasks.workers.timing import IMAGE_PHASES, Phase
from tests.support.samples.reports import summary
from tests.support.worlds.batch import World

RUN = replace(
    summary(),
    counts=replace(summary().counts, rejected_for={'a "quoted" reason\n': 3, "truncated JPEG": 5}, pending=2),
    stage_seconds={"planning": 1.5, "deraining": 41.0},
    phase_seconds={"decode": 2.5, "derain": 30.0},
    state="Failed",
)


def values(text: str) -> dict[tuple[str, str], float]:
    """Return the values by name and by the label that is not the destination."""
    return {
        (sample.name, next((v for k, v in sample.labels.items() if k != "destination"), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_file_has_counts_reasons_queue_and_seconds(tmp_path: Path):
    target = tmp_path / "derain.prom"
    publish_metrics(Settings(metrics=str(target), _env_file=None), RUN)
    found = values(target.read_text())
    assert found["derain_run_images", "derained"] == 86
    assert found["derain_run_images", "pending"] == 2
    assert found["derain_run_rejected_images", "truncated JPEG"] == 5
    assert found["derain_run_rejected_images", 'a "quoted" reason\n'] == 3
    assert found["derain_run_queue_images", ""] == 96
    assert found["derain_run_megapixels", ""] == 140
    assert found["derain_run_seconds", "planning"] == 1.5
    assert found["derain_run_phase_seconds", "derain"] == 30
    assert found["derain_run_failed", ""] == 1
    assert found["derain_run_finished_timestamp_seconds", ""] == RUN.finished_at.timestamp()
    assert f'destination="{RUN.scope.destination}"' in target.read_text()


def test_a_gateway_receives_them():
    received: list[tuple[str, str, str]] = []

    class Gateway(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            received.append((self.command, self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with HTTPServer(("127.0.0.1", 0), Gateway) as server:
        Thread(target=server.handle_request, daemon=True).start()
        settings = Settings(metrics=f"http://127.0.0.1:{server.server_port}", _env_file=None)
        publish_metrics(settings, RUN)
    ((command, path, body),) = received
    assert (command, path.split("/")[:4]) == ("PUT", ["", "metrics", "job", "derain_batch"])
    assert values(body)["derain_run_images", "rejected"] == 8


def test_a_gateway_that_is_gone_is_a_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tasks.prefect_runs.run_log", lambda: logging.getLogger("derain"))
    publish_metrics(Settings(metrics="http://127.0.0.1:9", _env_file=None), RUN)
    (line,) = caplog.messages
    assert line.startswith("the metrics (DERAIN_METRICS) could not be completed: http://127.0.0.1:9: ")


def test_a_folder_that_is_not_there_is_a_warning_and_is_not_made(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tasks.prefect_runs.run_log", lambda: logging.getLogger("derain"))
    target = tmp_path / "new" / "derain.prom"
    publish_metrics(Settings(metrics=str(target), _env_file=None), RUN)
    (line,) = caplog.messages
    assert line.endswith(f"could not be completed: {target}: there is no folder {target.parent}; create it")
    assert list(tmp_path.iterdir()) == []


def test_without_the_setting_nothing_is_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    publish_metrics(Settings(_env_file=None), RUN)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def prom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file that `DERAIN_METRICS` names, with the metrics of a run that completed."""
    path = tmp_path / "derain.prom"
    for name in [name for name in os.environ if name.startswith("DERAIN_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DERAIN_METRICS", str(path))
    publish_metrics(Settings(metrics=str(path), _env_file=None), replace(RUN, state="Completed"))
    return path


@pytest.mark.parametrize("others", [{}, {"DERAIN_WORKERS": "many"}], ids=["valid", "with an invalid setting"])
def test_a_refused_run_is_a_failed_run_of_the_requested_destination(
    others: dict[str, str], prom: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, value in others.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(PreflightFailed), failure_metrics("out"):
        raise PreflightFailed("no such bucket")
    found = values(prom.read_text())
    assert found["derain_run_failed", ""] == 1
    assert found["derain_run_finished_timestamp_seconds", ""] > RUN.finished_at.timestamp()
    assert f'destination="{prom.parent / "out"}"' in prom.read_text()


def test_by_default_it_is_a_failed_run_of_the_destination_of_the_settings(
    prom: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DERAIN_DESTINATION", "s3://derained/")
    with pytest.raises(RuntimeError), failure_metrics(None):
        raise RuntimeError
    assert 'derain_run_failed{destination="s3://derained"} 1' in prom.read_text()


def test_a_run_that_finds_another_at_work_leaves_its_metrics_alone(prom: Path):
    before = prom.read_text()
    with pytest.raises(LeaseHeld), failure_metrics("out"):
        raise LeaseHeld("out is being written")
    assert prom.read_text() == before


def test_the_commands_export_their_refusals(prom: Path, monkeypatch: pytest.MonkeyPatch):
    (prom.parent / "rainy").mkdir()
    (prom.parent / "rainy" / "x.png").write_bytes(b"")
    words = ["--source", "nowhere", "--destination", "out"]
    command = command_of(derain_batch, refuse, exported_failures)
    assert CliRunner().invoke(command, words).exit_code == 1
    assert values(prom.read_text())["derain_run_failed", ""] == 1
    prom.unlink()
    for name, value in (("DERAIN_WORKERS", "many"), ("PREFECT_API_URL", "http://127.0.0.1:9/api")):
        with monkeypatch.context() as patched:
            patched.setenv(name, value)
            assert CliRunner().invoke(command, ["--source", str(prom.parent / "rainy")]).exit_code == 1
        assert values(prom.read_text())["derain_run_failed", ""] == 1
        prom.unlink()
    (prom.parent / "empty").mkdir()
    assert run_console(["empty", "out"]) == 1
    assert values(prom.read_text())["derain_run_failed", ""] == 1
    prom.unlink()
    assert run_console(["empty", "out", "--plan-only"]) == 1
    assert not prom.exists()


def test_a_run_knows_the_seconds_of_its_parts(world: World):
    world.put_photos(1)
    found = world.derain()
    assert set(found.stage_seconds) == {"planning", "deraining", "verifying"}
    assert found.stage_seconds["deraining"] == found.wall_seconds > 0
    assert sum(found.phase_seconds[phase] for phase in IMAGE_PHASES) == pytest.approx(found.image_seconds)
    assert found.phase_seconds[Phase.DERAIN] > 0
