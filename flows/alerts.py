"""The command that makes alerts in Prefect: for failed runs, pending images, late runs and drift.

python -m flows.alerts
python -m flows.alerts --notify slack-webhook/ops --late-hours 3 --enable
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from flows.running.plain_command import run_plainly
from flows.running.prefect_server import refuse_unusable_server
from infra.prefect.alerts import AlertOptions, write_alerts


def alerts(
    notify: Annotated[
        str | None,
        typer.Option(help="Notification block, type/name. Default: alerts are seen in Prefect only."),
    ] = None,
    late_hours: Annotated[
        float, typer.Option(help="Hours without a completed derain-batch that count as late.", min=0.01)
    ] = 3.0,
    enable: Annotated[bool, typer.Option("--enable", help="Turn the alerts on. Default: off.")] = False,
) -> None:
    """Make four automations on the server of PREFECT_API_URL, or bring those of the same names up to date."""
    refuse_unusable_server()
    names = write_alerts(AlertOptions(late_hours, notify, enable))
    state = "on" if enable else "off"
    sys.stdout.write("".join(f"{name} ({state})\n" for name in names))


if __name__ == "__main__":
    run_plainly("alerts", alerts)
