"""Deployments on a real server with a real process worker: runs by name, by schedule and by events.

All tests are in one file, so that they share one server and one worker.
"""

from __future__ import annotations

import inspect
import json
import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect.events import emit_event

from flows.derain_batch import derain_batch
from infra.catalog.derained import Catalog
from tasks.drift.detection import DRIFT
from tasks.pool.growth import POOL_GROWN
from tests.support.servers.deployments import IMAGES, Deployed, Watched
from tests.support.servers.prefect_server import ENDED, PrefectServer
from tests.support.servers.server_processes import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def twins(server: PrefectServer) -> str:
    """Return the name of two deployments, of the flows one and two, which no test runs."""
    for flow in ("one", "two"):
        flow_id = server.post("flows/", name=flow)["id"]
        server.post("deployments/", name="twin", flow_id=flow_id)
    return "twin"


def test_the_deployment_runs_hourly_and_never_twice_at_once(deployed: Deployed) -> None:
    deployment = deployed.deployment
    assert deployment["work_pool_name"] == "derain"
    assert [each["schedule"]["cron"] for each in deployment["schedules"]] == ["0 * * * *"]
    assert deployment["global_concurrency_limit"]["limit"] == 1
    assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"


def test_its_form_describes_every_parameter_and_requires_none(deployed: Deployed) -> None:
    schema = deployed.deployment["parameter_openapi_schema"]
    assert set(schema["properties"]) == set(inspect.signature(derain_batch.fn).parameters)
    assert all(each.get("description") for each in schema["properties"].values())
    assert not schema.get("required")


def test_called_by_its_bare_name_it_derains_all(deployed: Deployed, called: Watched) -> None:
    assert called.run["state_type"] == "COMPLETED", deployed.server.log_of(called.run["id"])
    rainy, derained = (
        sorted(path.name for path in (deployed.root / name).iterdir()) for name in ("rainy", "derained")
    )
    assert derained == rainy
    rows = Catalog(str(deployed.root / "workspace")).frame().to_dicts()
    assert sorted((row["key"], row["run_id"]) for row in rows) == [(key, called.run["id"]) for key in rainy]


def test_its_page_shows_progress_while_it_runs(called: Watched) -> None:
    between = [value for value in called.progress if 0 < value < 100]
    assert len(between) >= 2
    assert called.progress == sorted(called.progress)
    assert called.progress[-1] == 100


def test_its_page_shows_counts_pictures_and_where_the_report_is(deployed: Deployed, called: Watched) -> None:
    artifacts = deployed.server.artifacts_of(called.run["id"])
    counts = {row["what"]: row["images"] for row in json.loads(artifacts["derained-images"]["data"])}
    zeros = dict.fromkeys(("done before", "rejected before", "rejected", "pending"), 0)
    assert counts == {"listed": IMAGES, "derained": IMAGES} | zeros
    (report,) = (deployed.root / "workspace" / "reports").iterdir()
    page = artifacts["derain-batch"]["data"]
    assert f"Report: `{report}`" in page
    assert page.count("](data:image/jpeg;base64,") == 3
    assert f"| derained | {IMAGES} |" in page
    assert "report" not in artifacts  # a link to a file, which no browser would open from Prefect's page
    assert str(IMAGES) in artifacts["progress"]["description"]


def test_a_run_that_comes_while_one_runs_is_cancelled(called: Watched) -> None:
    assert called.second["state_type"] == "CANCELLED"
    assert called.run["state_type"] == "COMPLETED"


def test_the_command_that_makes_such_a_run_warns_of_it(called: Watched) -> None:
    assert "another run of 'derain-batch' is in progress" in called.warning
    assert f"{called.second['name']!r} will be cancelled" in " ".join(called.warning.split())


@pytest.mark.parametrize("command", ["inspect", "schedule ls"])
def test_other_commands_take_the_bare_name_too(command: str, deployed: Deployed) -> None:
    said = deployed.server.done("prefect", "deployment", *command.split(), "derain-batch")
    assert "0 * * * *" in said


def test_other_commands_do_not_find_an_unknown_bare_name(server: PrefectServer) -> None:
    ended = server.command("prefect", "deployment", "inspect", "derain-nothing")
    assert ended.returncode == 1
    assert "Deployment 'derain-nothing' not found!" in ended.stdout + ended.stderr


def test_automations_have_descriptive_names(deployed: Deployed) -> None:
    names = {automation["name"] for automation in deployed.server.post("automations/filter")}
    assert names == {"retrain when the pool has grown", "retrain when the rain has changed"}


def test_an_ambiguous_bare_name_says_what_to_choose_from(server: PrefectServer, twins: str) -> None:
    ended = server.command("prefect", "deployment", "run", twins)
    assert ended.returncode == 1
    assert "several flows have a deployment 'twin': use one of one/twin, two/twin" in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


def test_a_full_name_is_never_ambiguous(server: PrefectServer, twins: str) -> None:
    server.done("prefect", "deployment", "run", f"one/{twins}")


def test_an_unknown_bare_name_is_not_found(server: PrefectServer) -> None:
    ended = server.command("prefect", "deployment", "run", "derain-nothing")
    assert ended.returncode == 1
    assert "Deployment 'derain-nothing' not found!" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


def test_an_expected_refusal_in_a_worker_is_one_line(deployed: Deployed) -> None:
    server, log = deployed.server, deployed.root / "worker.log"
    earlier = len(log.read_text())
    path = f"deployments/{deployed.deployment['id']}/create_flow_run"
    run = server.post(path, parameters={"source": "/no/such/folder"})["id"]
    wait_for(lambda: server.get(f"flow_runs/{run}")["state_type"] in ENDED, "the run has not ended")
    wait_for(lambda: not _is_in_a_process(run), "the process of the run has not ended")
    assert server.get(f"flow_runs/{run}")["state"]["message"].startswith("/no/such/folder: ")
    written = log.read_text()[earlier:]
    assert written.count("/no/such/folder: ") == 1, written
    assert all(word not in written for word in ("Traceback", "unexpected exception", "FailedRun")), written


def test_maintain_removes_what_its_settings_no_longer_keep(deployed: Deployed, tmp_path: Path) -> None:
    server = deployed.server
    deployment = server.get("deployments/name/maintain/maintain")
    assert [each["schedule"]["cron"] for each in deployment["schedules"]] == ["30 2 * * *"]
    reports = tmp_path / "reports"
    reports.mkdir()
    for name, days in (("old.html", 40), ("new.html", 20)):
        (reports / name).write_text("")
        written = time.time() - days * 86400
        os.utime(reports / name, (written, written))
    settings = {"DERAIN_WORKSPACE": str(tmp_path), "DERAIN_RETENTION__REPORTS_DAYS": "30"}
    variables = {"env": {**deployment["job_variables"]["env"], **settings}}
    run = server.post(f"deployments/{deployment['id']}/create_flow_run", job_variables=variables)["id"]
    wait_for(lambda: server.get(f"flow_runs/{run}")["state_type"] in ENDED, "the run has not ended")
    state = server.get(f"flow_runs/{run}")["state"]
    assert (state["type"], state["message"]) == ("COMPLETED", "removed: 1 files of reports"), server.log_of(
        run
    )
    assert [path.name for path in reports.iterdir()] == ["new.html"]


@pytest.mark.parametrize("event", [POOL_GROWN, DRIFT])
def test_an_event_of_the_pool_starts_a_retraining(event: str, deployed: Deployed) -> None:
    server = deployed.server
    deployment_id = server.get("deployments/name/retrain/retrain")["id"]
    known = {run["id"] for run in _made_by(server, deployment_id, "AUTOMATION")}
    emit_event(event, {"prefect.resource.id": f"derain.pool.{deployed.root}"})

    def ended() -> dict[str, Any] | None:
        runs = _made_by(server, deployment_id, "AUTOMATION")
        return next((run for run in runs if run["id"] not in known and run["state_type"] in ENDED), None)

    run = wait_for(ended, f"no retraining has come of {event} and ended")
    assert run["parameters"] == {"preset": "cpu"}
    assert run["state_type"] == "COMPLETED", server.log_of(run["id"])
    assert run["state"]["message"].startswith("nothing to learn from: "), run["state"]["message"]


def test_its_schedule_makes_a_run_that_completes(deployed: Deployed) -> None:
    """This is the last test, because the minute for which it may have to wait passes during the others."""
    server, deployment_id = deployed.server, deployed.every_minute["id"]

    def ended() -> dict[str, Any] | None:
        runs = _made_by(server, deployment_id, "SCHEDULE")
        return next((run for run in runs if run["state_type"] in ENDED), None)

    run = wait_for(ended, "no scheduled run has ended")
    server.post(f"deployments/{deployment_id}/pause_deployment")
    assert run["state_type"] == "COMPLETED", server.log_of(run["id"])
    assert run["auto_scheduled"]
    derained = deployed.root / "scheduled" / "derained"
    assert sorted(path.name for path in derained.iterdir()) == ["000.png", "001.png"]


def _is_in_a_process(run_id: str) -> bool:
    """Return whether a worker's process still executes a flow run, so that its log is incomplete."""
    found = (process.info["environ"] or {} for process in psutil.process_iter(["environ"]))
    return any(environment.get("PREFECT__FLOW_RUN_ID") == run_id for environment in found)


def _made_by(server: PrefectServer, deployment_id: str, kind: str) -> list[dict[str, Any]]:
    """Return the runs of a deployment that a schedule or an automation created."""
    runs = server.runs_of(deployment_id)
    return [run for run in runs if run["created_by"] and run["created_by"]["type"] == kind]
