"""Prefect artifacts with the results of an ingest's drift tests (`publish_drift`)."""

from __future__ import annotations

from prefect.artifacts import create_table_artifact

from infra.settings import Settings
from tasks.drift.detection import DriftTest, watch_drift
from tasks.prefect_runs import report


def publish_drift(settings: Settings, crops: int) -> None:
    """Test for drift after an ingest of this many crops and publish a table; log failures as warnings."""
    report("drift", lambda: _drift_artifact(watch_drift(settings, crops)))


def _drift_artifact(tests: tuple[DriftTest, ...]) -> None:
    if tests:
        rows = [{"view": test.name, "p": test.p_value, "found": test.line()} for test in tests]
        create_table_artifact(rows, key="drift", description="The newest photographs against earlier ones")
