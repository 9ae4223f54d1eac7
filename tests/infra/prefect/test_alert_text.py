"""The text of a notification, rendered as Prefect's server does."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from prefect.server.events.schemas.events import ReceivedEvent
from prefect.server.utilities.user_templates import render_user_template_sync, validate_user_template

from infra.prefect.alerts import BODY, PENDING

NOW = datetime(2026, 7, 1, tzinfo=UTC)


def event(name: str, **labels: str) -> ReceivedEvent:
    resource = {"prefect.resource.id": "prefect.flow-run.1", "prefect.resource.name": "quick-fox", **labels}
    return ReceivedEvent(event=name, resource=resource, occurred=NOW, id=uuid4(), payload={})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("occurred", "text"),
    [
        (
            event("prefect.flow-run.Failed", **{"prefect.state-message": "s3://rainy: no such bucket"}),
            f"prefect.flow-run.Failed of quick-fox at {NOW}: s3://rainy: no such bucket",
        ),
        (event(PENDING), f"{PENDING} of quick-fox at {NOW}"),
        (None, "no run of derain-batch has completed in time"),
    ],
    ids=["a failed run", "an event of ours", "nothing in time"],
)
def test_it_says_what_happened_and_why(occurred: ReceivedEvent | None, text: str):
    validate_user_template(BODY)
    assert render_user_template_sync(BODY, {"event": occurred}) == text
