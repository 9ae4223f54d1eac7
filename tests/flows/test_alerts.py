"""Alerts on a real server are created and updated by the command, off by default, and fired by their events."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.blocks.system import Secret
from prefect.events import emit_event
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.derain_batch import derain_batch
from infra.prefect.alerts import DRIFT, PENDING, AlertOptions, AlertsRefused, write_alerts
from tests.support.servers.prefect_server import PrefectServer
from tests.support.servers.server_processes import wait_for

pytestmark = pytest.mark.slow
NAMES = {
    "derain: a run has failed",
    "derain: images are pending",
    "derain: no run has completed in time",
    "derain: the rain has changed",
}


def command(server: PrefectServer, *options: str) -> str:
    return server.done(sys.executable, "-m", "flows.alerts", *options)


def written(server: PrefectServer) -> dict[str, dict[str, Any]]:
    found = server.post("automations/filter")
    return {each["name"]: each for each in found if each["name"].startswith("derain: ")}


def triggered(server: PrefectServer) -> set[str]:
    """Return the ids of all automations that were triggered."""
    wanted = {"event": {"name": ["prefect.automation.triggered"]}}
    found = server.post("events/filter", filter=wanted)["events"]
    return {each["resource"]["prefect.resource.id"].rpartition(".")[2] for each in found}


@pytest.fixture
def clean(server: PrefectServer) -> Iterator[PrefectServer]:
    """Yield the server of the session, and delete our automations afterwards."""
    yield server
    for each in written(server).values():
        server.done("prefect", "automation", "delete", "--id", each["id"])


def test_they_are_off_until_they_are_turned_on(clean: PrefectServer):
    assert {line.removesuffix(" (off)") for line in command(clean).splitlines()} == NAMES
    assert {each["enabled"] for each in written(clean).values()} == {False}
    command(clean, "--enable", "--late-hours", "5")
    found = written(clean)
    assert set(found) == NAMES  # the same four
    assert {each["enabled"] for each in found.values()} == {True}
    late = found["derain: no run has completed in time"]["trigger"]
    assert (late["posture"], late["within"], late["expect"]) == (
        "Proactive",
        5 * 3600,
        ["prefect.flow-run.Completed"],
    )


@pytest.mark.parametrize(
    ("event", "name"),
    [(PENDING, "derain: images are pending"), (DRIFT, "derain: the rain has changed")],
)
def test_an_event_of_ours_fires_its_alert(event: str, name: str, clean: PrefectServer):
    command(clean, "--enable")
    alert = written(clean)[name]["id"]

    def fired() -> bool:
        emit_event(event, {"prefect.resource.id": "derain.destination./photos"}, payload={"pending": 3})
        return alert in triggered(clean)

    wait_for(fired, "the alert has not been triggered")


def test_a_failed_run_fires_its_alert(clean: PrefectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DERAIN_WORKSPACE", str(tmp_path / "workspace"))
    command(clean, "--enable")
    alert = written(clean)["derain: a run has failed"]["id"]

    def fired() -> bool:
        ended = derain_batch(str(tmp_path / "nowhere"), str(tmp_path / "out"), return_state=True)
        assert ended.is_failed()
        return alert in triggered(clean)

    wait_for(fired, "the alert has not been triggered", pause=1)


def test_without_a_server_nothing_is_made():
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(AlertsRefused, match=r"^PREFECT_API_URL is not set: name the server"),
    ):
        write_alerts(AlertOptions(late_hours=3))


def test_a_block_that_is_not_there_is_one_line(clean: PrefectServer):
    ended = clean.command(sys.executable, "-m", "flows.alerts", "--notify", "slack-webhook/nobody")
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("alerts: slack-webhook/nobody: Prefect has no such notification block; create it")
    assert written(clean) == {}


def test_a_block_that_cannot_notify_is_refused_with_those_that_can(clean: PrefectServer):
    Secret(value="x").save("password", overwrite=True)
    CustomWebhookNotificationBlock(name="ops", url="https://hooks.example.org/x").save("ops", overwrite=True)
    ended = clean.command(sys.executable, "-m", "flows.alerts", "--notify", "secret/password")
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("alerts: secret/password: a block of this type cannot notify; create it in")
    assert line.endswith("; there are custom-webhook/ops")
    assert written(clean) == {}
    command(clean, "--notify", "custom-webhook/ops")
    assert set(written(clean)) == NAMES
