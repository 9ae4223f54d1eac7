"""A Prefect startup plugin: inside the project, a deployment may be called by its bare name.

`prefect deployment run derain-batch` instead of `derain-batch/derain-batch`. Loaded by Prefect through the entry
point `prefect.plugins` of the installed package; `[tool.prefect.plugins]` in pyproject.toml turns it on.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import prefect.plugins

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.responses import DeploymentResponse


class AmbiguousName(ValueError):
    """A bare name that several flows have a deployment of."""


@prefect.plugins.register_hook
def setup_environment(*, ctx: Any) -> prefect.plugins.SetupResult | None:
    """Let Prefect's client take bare deployment names; called by Prefect at its start.

    Parameters
    ----------
    ctx : HookContext
        What Prefect tells a plugin; not used.
    """
    from prefect.client.orchestration import PrefectClient

    original = PrefectClient.read_deployment_by_name
    if getattr(original, "takes_bare_names", False):
        return None

    @functools.wraps(original)
    async def read_deployment_by_name(client: PrefectClient, name: str) -> DeploymentResponse:
        full = name if "/" in name else await _full_name(client, name)
        return await original(client, full)

    read_deployment_by_name.takes_bare_names = True  # type: ignore[attr-defined]
    PrefectClient.read_deployment_by_name = read_deployment_by_name  # type: ignore[method-assign, assignment]
    return None


async def _full_name(client: PrefectClient, name: str) -> str:
    """Find the one deployment of this name; a name that nobody has is passed on as flow and deployment."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName

    wanted = DeploymentFilter(name=DeploymentFilterName(any_=[name]))
    found = await client.read_deployments(deployment_filter=wanted)
    flows = [(await client.read_flow(deployment.flow_id)).name for deployment in found]
    if len(flows) > 1:
        choices = ", ".join(f"{flow}/{name}" for flow in sorted(flows))
        raise AmbiguousName(f"several flows have a deployment {name!r}: use one of {choices}")
    return f"{flows[0] if flows else name}/{name}"
