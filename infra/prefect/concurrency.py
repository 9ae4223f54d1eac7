"""A warning, when a run is created, that the concurrency limit of its deployment will cancel it.

Prefect itself does not warn: it creates the run and cancels it once a worker picks it up.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse


def warning_of_limits(original: Any) -> Any:
    """Wrap `PrefectClient.create_flow_run_from_deployment`; the run is created in any case.

    Parameters
    ----------
    original : coroutine function
        The method of Prefect's client.
    """

    @functools.wraps(original)
    async def create_flow_run_from_deployment(
        client: PrefectClient, deployment_id: UUID, **options: Any
    ) -> FlowRun:
        from prefect.logging import get_logger

        # Checked before the run is created: afterwards it may itself hold the slot.
        deployment = await client.read_deployment(deployment_id)
        made: FlowRun = await original(client, deployment_id, **options)
        if _cancels_new_runs(deployment):
            get_logger(__name__).warning(
                "another run of %r is in progress, and its concurrency limit allows only one: %r will be"
                " cancelled unless that run ends before a worker picks it up",
                deployment.name,
                made.name,
            )
        return made

    return create_flow_run_from_deployment


def _cancels_new_runs(deployment: DeploymentResponse) -> bool:
    limit, options = deployment.global_concurrency_limit, deployment.concurrency_options
    if limit is None or options is None:
        return False
    return limit.active_slots >= limit.limit and options.collision_strategy == "CANCEL_NEW"
