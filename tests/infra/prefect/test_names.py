"""The Prefect plugin for bare deployment names; tests/flows/test_deployment.py tests it in a real command."""

from __future__ import annotations

import asyncio
import inspect
import logging
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound
from prefect.plugins import HookContext

from infra.prefect.names import AmbiguousName, setup_environment

CONTEXT = HookContext("9.9.9", None, logging.getLogger)
CLIENT = "prefect.client.orchestration.PrefectClient"


@dataclass
class Client:
    """The part of Prefect's client that the plugin uses, with the flows that have a deployment of any name."""

    flows: tuple[str, ...] = ()

    async def read_deployment_by_name(self, name: str) -> str:
        return f"read {name}"

    async def create_flow_run_from_deployment(self, deployment_id: str) -> str:
        return f"a run of {deployment_id}"

    async def read_deployments(self, *, deployment_filter: Any) -> list[SimpleNamespace]:
        assert deployment_filter.name.any_ == ["derain"]
        return [SimpleNamespace(flow_id=flow) for flow in self.flows]

    async def read_flow(self, flow_id: str) -> SimpleNamespace:
        return SimpleNamespace(name=flow_id)


@pytest.fixture
def client_class(monkeypatch: pytest.MonkeyPatch) -> type[Client]:
    """Return a fresh client class that the plugin has been applied to."""
    fresh = type("FreshClient", (Client,), {})
    monkeypatch.setattr(CLIENT, fresh)
    assert setup_environment(ctx=CONTEXT) is None
    return fresh


def test_prefect_still_has_what_the_plugin_wraps() -> None:
    original = inspect.unwrap(PrefectClient.read_deployment_by_name)
    assert inspect.iscoroutinefunction(original)
    assert list(inspect.signature(original).parameters) == ["self", "name"]


def test_a_bare_name_finds_the_one_flow_that_has_it(client_class: type[Client]) -> None:
    assert asyncio.run(client_class(("rain",)).read_deployment_by_name("derain")) == "read rain/derain"


def test_a_full_name_is_passed_on_unasked(client_class: type[Client]) -> None:
    assert asyncio.run(client_class(("a", "b")).read_deployment_by_name("x/y")) == "read x/y"


def test_an_unknown_name_is_passed_on(client_class: type[Client]) -> None:
    assert asyncio.run(client_class().read_deployment_by_name("derain")) == "read derain/derain"


def test_an_ambiguous_name_is_refused_with_the_choices(client_class: type[Client]) -> None:
    with pytest.raises(AmbiguousName, match="use one of a/derain, b/derain") as raised:
        asyncio.run(client_class(("b", "a")).read_deployment_by_name("derain"))
    assert isinstance(raised.value, ObjectNotFound)


def test_started_twice_it_wraps_once(client_class: type[Client]) -> None:
    wrapped = client_class.read_deployment_by_name
    setup_environment(ctx=CONTEXT)
    assert client_class.read_deployment_by_name is wrapped


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"read_deployment_by_name": Client.read_deployment_by_name},
        {"read_deployment_by_name": lambda self, name: None},
    ],
    ids=["gone", "one of two gone", "no longer a coroutine function"],
)
def test_an_incompatible_prefect_stays_unchanged_and_the_log_says_so(
    attributes: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    changed = type("ChangedClient", (), dict(attributes))
    before = dict(vars(changed))
    monkeypatch.setattr(CLIENT, changed)
    assert setup_environment(ctx=CONTEXT) is None
    assert dict(vars(changed)) == before
    _says_so_in_one_line(caplog)


def test_a_prefect_without_such_a_client_stays_unchanged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(CLIENT)
    assert setup_environment(ctx=CONTEXT) is None
    _says_so_in_one_line(caplog)


def _says_so_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("Prefect 9.9.9 takes no bare deployment names")
    assert "derain-batch/derain-batch" in line
    assert "\n" not in line
