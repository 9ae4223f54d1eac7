"""Configuration and storage options of the catalog's Delta tables (`configuration`, `storage_options`)."""

from __future__ import annotations

from infra.catalog.delta.attempts import retry_seconds
from infra.catalog.delta.schema import TableSpec
from infra.storage.credentials import delta_options

RETENTION = "interval 7 days"
FOR_GOOD = "interval 5200 weeks"


def configuration(spec: TableSpec) -> dict[str, str | None]:
    """Return the properties of a new table."""
    for_good = {"delta.logRetentionDuration": FOR_GOOD} if spec.keeps_versions else {}
    return {
        "delta.deletedFileRetentionDuration": RETENTION,
        "delta.dataSkippingStatsColumns": ",".join(spec.indexed),
        **for_good,
    }


def storage_options(url: str) -> dict[str, str]:
    """Return the options with which deltalake opens a table; empty for a local folder."""
    options = delta_options(url)
    if options:  # by default, deltalake retries each of its requests for three minutes
        options["retry_timeout"] = f"{retry_seconds() * 1000:.0f}ms"
    return options
