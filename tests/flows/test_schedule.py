"""A run that the schedule made. The last file here: the minute it may have to wait for passes in the others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployments import Deployed
from tests.prefect_server import ENDED, wait_for

pytestmark = pytest.mark.slow


def test_its_schedule_makes_a_run_that_completes(deployed: Deployed) -> None:
    server, deployment_id = deployed.server, deployed.every_minute["id"]

    def ended() -> dict[str, Any] | None:
        return next((run for run in server.runs_of(deployment_id) if run["state_type"] in ENDED), None)

    run = wait_for(ended, "no scheduled run has ended")
    server.post(f"deployments/{deployment_id}/pause_deployment")
    assert run["state_type"] == "COMPLETED", server.log_of(run["id"])
    assert run["auto_scheduled"]
    assert run["created_by"]["type"] == "SCHEDULE"
    derained = deployed.root / "scheduled" / "derained"
    assert sorted(path.name for path in derained.iterdir()) == ["000.png", "001.png"]
