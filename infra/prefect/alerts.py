"""Alerts as automations of Prefect (`write_alerts`): failed runs, pending images, late runs, and drift."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from infra.errors import UserError, one_line

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.automations import Automation, EventTrigger
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import BlockDocument

PENDING = "derain.images.pending"
"""Event of a run that left images pending."""
DRIFT = "derain.drift"
FLOWS = (
    "derain-batch",
    "ingest",
    "curate",
    "finetune",
    "distill",
    "evaluate",
    "promote",
    "rollback",
    "retrain",
    "maintain",
)
SUBJECT = "derain-flows: {{ automation.name }}"
BODY = (
    "{% if event %}{{ event.event }} of {{ event.resource.name or event.resource.id }} at {{ event.occurred }}"
    "{% if event.resource['prefect.state-message'] %}: {{ event.resource['prefect.state-message'] }}{% endif %}"
    "{% else %}no run of derain-batch has completed in time{% endif %}"
)
"""Text of a notification: the event, with the line that says why a run failed; no event is that of a late run."""


class AlertsRefused(UserError):
    """Raised if the alerts cannot be written; the message says why."""


@dataclass(frozen=True, slots=True)
class AlertOptions:
    """Options of the alerts: when they fire and whom they notify."""

    late_hours: float
    """Hours without a completed derain-batch after which it is late."""
    block: str | None = None
    """Notification block, `slack-webhook/ops`; None: an alert is only seen in Prefect."""
    enabled: bool = False


def write_alerts(options: AlertOptions) -> list[str]:
    """Create the automations, or bring those of the same names up to date; return their names.

    Raises
    ------
    AlertsRefused
        If there is no server or no such notification block, or Prefect does not answer.
    """
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():  # Prefect would start a temporary server, whose automations nobody runs
        raise AlertsRefused("PREFECT_API_URL is not set: name the server on which the alerts are to run")
    try:
        with get_client(sync_client=True) as client:
            block = None if options.block is None else _block_id(client, options.block)
            alerts = [_automation(name, trigger, block, options) for name, trigger in _triggers(options)]
            for alert in alerts:
                _write(client, alert)
    except AlertsRefused:
        raise
    except Exception as error:
        raise AlertsRefused(f"the alerts could not be written: {one_line(error)}") from error
    return [alert.name for alert in alerts]


def _triggers(options: AlertOptions) -> list[tuple[str, EventTrigger]]:
    from prefect.automations import EventTrigger, Posture

    def runs_of(*flows: str) -> dict[str, object]:
        return {"prefect.resource.role": "flow", "prefect.resource.name": list(flows)}

    ended_badly = {"prefect.flow-run.Failed", "prefect.flow-run.Crashed"}
    hours = options.late_hours
    return [
        ("derain: a run has failed", EventTrigger(expect=ended_badly, match_related=runs_of(*FLOWS))),
        ("derain: images are pending", EventTrigger(expect={PENDING})),
        (
            "derain: no run has completed in time",
            EventTrigger(
                expect={"prefect.flow-run.Completed"},
                match_related=runs_of("derain-batch"),
                posture=Posture.Proactive,
                within=timedelta(hours=hours),
            ),
        ),
        ("derain: the rain has changed", EventTrigger(expect={DRIFT})),
    ]


def _automation(name: str, trigger: EventTrigger, block: UUID | None, options: AlertOptions) -> Automation:
    from prefect.automations import Automation, DoNothing, SendNotification

    action = (
        DoNothing()
        if block is None
        else SendNotification(block_document_id=block, subject=SUBJECT, body=BODY)
    )
    return Automation(name=name, trigger=trigger, actions=[action], enabled=options.enabled)


def _block_id(client: SyncPrefectClient, block: str) -> UUID:
    """Return the id of a notification block; Prefect would accept any other and then notify nobody."""
    from prefect.exceptions import ObjectNotFound

    kind, _, name = block.partition("/")
    try:
        found = client.read_block_document_by_name(name, kind, include_secrets=False)
    except ObjectNotFound as error:
        raise AlertsRefused(f"{block}: Prefect has no such notification block; {_way_out(client)}") from error
    if not _can_notify(found):
        raise AlertsRefused(f"{block}: a block of this type cannot notify; {_way_out(client)}")
    return found.id


def _can_notify(block: BlockDocument) -> bool:
    return block.block_schema is not None and "notify" in block.block_schema.capabilities


def _way_out(client: SyncPrefectClient) -> str:
    """Say how to create a notification block, and which ones there are."""
    known = [
        f"{each.block_type.slug}/{each.name}"
        for each in client.read_block_documents(include_secrets=False)
        if _can_notify(each) and each.block_type is not None
    ]
    create = "create it in Prefect's pages under Blocks, and name it as type/name: slack-webhook/ops"
    return f"{create}; there are {', '.join(known)}" if known else f"{create}; there is none yet"


def _write(client: SyncPrefectClient, alert: Automation) -> None:
    from prefect.automations import AutomationCore

    core = AutomationCore(**alert.model_dump(exclude={"id", "owner_resource"}))
    known = client.read_automations_by_name(alert.name)
    if known:
        client.update_automation(known[0].id, core)
    else:
        client.create_automation(core)
