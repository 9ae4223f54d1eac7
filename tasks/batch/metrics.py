"""Metrics of runs for Prometheus (`publish_metrics`, `failure_metrics`), if `DERAIN_METRICS` says where they go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from infra.errors import DerainError
from infra.metrics import Gauge, export_metrics
from infra.settings import Settings, absolute_url, read_metrics_settings
from infra.storage.lease import LeaseHeld, LeaseLost
from tasks.batch.summary import RunSummary
from tasks.prefect_runs import attempt

JOB = "derain_batch"


def publish_metrics(settings: Settings, summary: RunSummary) -> None:
    """Export the metrics of a run; log a warning if that fails."""
    _export(settings.metrics, summary.scope.destination, run_gauges(summary))


@contextmanager
def failure_metrics(destination: str | None) -> Iterator[None]:
    """Export that the run failed if the block raises an error, such as a refusal.

    A run refused because another one holds the lease exports nothing: the destination is being written, and the
    metrics are those of the run that writes it.

    Parameters
    ----------
    destination : str or None
        Destination that was requested; None: that of the settings.
    """
    try:
        yield
    except (LeaseHeld, LeaseLost):
        raise
    except Exception:
        settings = read_metrics_settings()
        requested = destination or settings.destination or ""
        _export(settings.metrics, _label(requested), _end_gauges(has_failed=True, at=datetime.now(UTC)))
        raise


def _label(destination: str) -> str:
    """Return a destination as a completed run would name it, or unchanged if it is not a valid URL."""
    try:
        return absolute_url(destination) if destination else destination
    except DerainError:
        return destination


def _export(target: str | None, destination: str, gauges: list[Gauge]) -> None:
    if target:
        group = {"destination": destination}
        attempt("the metrics (DERAIN_METRICS)", lambda: export_metrics(target, JOB, group, gauges))


def run_gauges(summary: RunSummary) -> list[Gauge]:
    """Return the metrics of a run."""
    counts = summary.counts
    images = {outcome.replace(" ", "_"): number for outcome, number in counts.by_outcome.items()}
    return [
        Gauge("derain_run_images", "Images of the last run by outcome", images, "outcome"),
        Gauge("derain_run_rejected_images", "Rejected images by reason", counts.rejected_for, "reason"),
        Gauge("derain_run_queue_images", "Pending images at the start of the run", {"": summary.queue}),
        Gauge("derain_run_megapixels", "Derained megapixels", {"": summary.pixels / 1e6}),
        Gauge("derain_run_seconds", "Wall time by stage of the run", summary.stage_seconds, "stage"),
        Gauge("derain_run_worker_seconds", "CPU time of all workers", {"": summary.image_seconds}),
        Gauge("derain_run_phase_seconds", "CPU time of all workers by phase", summary.phase_seconds, "phase"),
        *_end_gauges(has_failed=summary.state == "Failed", at=summary.finished_at),
    ]


def _end_gauges(*, has_failed: bool, at: datetime) -> list[Gauge]:
    return [
        Gauge("derain_run_failed", "1 if the run failed, else 0", {"": float(has_failed)}),
        Gauge(
            "derain_run_finished_timestamp_seconds",
            "When the run ended, in seconds since 1970",
            {"": at.timestamp()},
        ),
    ]
