"""The warning of a run that will be cancelled; tests/flows/test_deployment.py has it in a real command."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from infra.prefect.concurrency import warning_of_limits


@dataclass
class Client:
    """The part of Prefect's client that the warning uses."""

    active: int
    strategy: str | None

    async def read_deployment(self, deployment_id: str) -> SimpleNamespace:
        limit = SimpleNamespace(active_slots=self.active, limit=1)
        options = SimpleNamespace(collision_strategy=self.strategy)
        return SimpleNamespace(
            name=deployment_id,
            global_concurrency_limit=limit if self.strategy else None,
            concurrency_options=options if self.strategy else None,
        )

    async def create_flow_run_from_deployment(self, deployment_id: str, *, name: str) -> SimpleNamespace:
        self.active = 1  # a worker may pick it up at once
        return SimpleNamespace(name=name)


@pytest.mark.parametrize(
    ("active", "strategy", "warned"),
    [
        pytest.param(1, "CANCEL_NEW", True, id="another one at work"),
        pytest.param(0, "CANCEL_NEW", False, id="the only one"),
        pytest.param(1, "ENQUEUE", False, id="queued"),
        pytest.param(1, None, False, id="no limit"),
    ],
)
def test_only_a_run_that_will_be_cancelled_is_warned_of(
    active: int, strategy: str | None, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    create = warning_of_limits(Client.create_flow_run_from_deployment)
    with caplog.at_level(logging.WARNING):
        made = asyncio.run(create(Client(active, strategy), "derain", name="brave-owl"))
    assert made.name == "brave-owl"
    lines = [record.getMessage() for record in caplog.records]
    assert ["'brave-owl' will be cancelled" in line for line in lines] == [True] * warned
