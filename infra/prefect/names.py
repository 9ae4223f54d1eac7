"""A Prefect startup plugin that lets deployments of this project be called by their bare name.

With it, `prefect deployment run derain-batch` works as well as `derain-batch/derain-batch`, and so do `inspect`,
`delete` and `schedule`. It also warns of a run that the concurrency limit will cancel. Prefect loads it through the
entry point `prefect.plugins` of the installed package; `[tool.prefect.plugins]` in pyproject.toml enables it.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from typing import TYPE_CHECKING, Any

import prefect.plugins
from prefect.exceptions import ObjectNotFound

from infra.prefect.concurrency import warning_of_limits
from infra.prefect.home import without_proxy
from infra.shown import guard_logs

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.responses import DeploymentResponse


class AmbiguousName(ObjectNotFound):
    """Several flows have a deployment of this name; Prefect's commands then report that it is not found."""


@prefect.plugins.register_hook
def setup_environment(*, ctx: prefect.plugins.HookContext) -> prefect.plugins.SetupResult | None:
    """Let Prefect's client accept bare deployment names, and keep passwords out of logs; Prefect calls it at start.

    If a proxy is set, the client and the processes that it starts still reach this machine without it. The wrapped
    functions are internal to Prefect: if another version lacks them, a line in the log says so, and full names keep
    working.

    Parameters
    ----------
    ctx : HookContext
        Context that Prefect passes to a plugin.
    """
    guard_logs()
    try:
        _wrap_client()
        if {"deployment", "deployments"} & set(sys.argv[1:]):  # elsewhere the import would only cost time
            _let_commands_take_bare_names()
    except (ImportError, AttributeError) as error:
        ctx.logger_factory(__name__).warning(
            "Prefect %s takes no bare deployment names (%s): call them flow/deployment, like"
            " derain-batch/derain-batch",
            ctx.prefect_version,
            error,
        )
    direct = without_proxy(os.environ)
    return prefect.plugins.SetupResult(env=direct, note="loopback without proxy") if direct else None


def _wrap_client() -> None:
    from prefect.client.orchestration import PrefectClient

    wrappers = {
        "read_deployment_by_name": _taking_bare_names,
        "create_flow_run_from_deployment": warning_of_limits,
    }
    originals = {name: getattr(PrefectClient, name) for name in wrappers}
    for name, original in originals.items():
        if not inspect.iscoroutinefunction(original):
            raise AttributeError(f"PrefectClient.{name} is not a coroutine function")
    if not hasattr(PrefectClient, "takes_bare_names"):
        PrefectClient.takes_bare_names = True  # type: ignore[attr-defined]
        for name, original in originals.items():
            setattr(PrefectClient, name, wrappers[name](original))


def _let_commands_take_bare_names() -> None:
    """Drop the check that refuses a bare name before the client is asked; an unknown one is still not found."""
    from prefect.cli import deployment

    if not hasattr(deployment, "_assert_deployment_name_format"):
        raise AttributeError("prefect.cli.deployment checks names elsewhere")
    deployment._assert_deployment_name_format = lambda name: None


def _taking_bare_names(original: Any) -> Any:
    @functools.wraps(original)
    async def read_deployment_by_name(client: PrefectClient, name: str) -> DeploymentResponse:
        full = name if "/" in name else await _full_name(client, name)
        found: DeploymentResponse = await original(client, full)
        return found

    return read_deployment_by_name


async def _full_name(client: PrefectClient, name: str) -> str:
    """Return the full name of the only deployment of this name; an unknown name counts as flow and deployment.

    Raises
    ------
    AmbiguousName
        If several flows have one; they are logged, since Prefect's commands do not show the message.
    """
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
    from prefect.logging import get_logger

    wanted = DeploymentFilter(name=DeploymentFilterName(any_=[name]))
    found = await client.read_deployments(deployment_filter=wanted)
    flows = [(await client.read_flow(deployment.flow_id)).name for deployment in found]
    if len(flows) > 1:
        choices = ", ".join(f"{flow}/{name}" for flow in sorted(flows))
        message = f"several flows have a deployment {name!r}: use one of {choices}"
        get_logger(__name__).error(message)
        raise AmbiguousName(ValueError(message), message)
    return f"{flows[0] if flows else name}/{name}"
