"""A line names the run that writes to a destination, or to a folder above or below it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infra.catalog.derained import Catalog
from infra.settings import Settings
from infra.storage.lease import lease_location, lease_of
from tasks.batch.planning.plan import PlanCounts
from tasks.batch.planning.unwritten import unwritten_line
from tests.support.samples.records import SCOPE


@pytest.mark.parametrize(
    ("written", "begin"),
    [
        ("/tmp/derained", "/tmp/derained is being written: run the-first on "),
        ("/tmp", "/tmp/derained lies inside /tmp, which is being written: run the-first on "),
        (
            "/tmp/derained/a",
            "/tmp/derained contains /tmp/derained/a, which is being written: run the-first on ",
        ),
        ("/tmp/derained-too", "/tmp/derained: nothing was ever written there"),
    ],
)
def test_a_run_at_overlapping_destinations_is_named(written: str, begin: str, tmp_path: Path) -> None:
    settings = Settings(workspace=str(tmp_path), _env_file=None)
    leases, scope = lease_location(settings.workspace), replace(SCOPE, destination="/tmp/derained")
    with lease_of(settings, written, "the-first"):
        line = unwritten_line(PlanCounts(), Catalog(settings.workspace), scope, leases)
    assert line is not None
    assert line.startswith(begin)
