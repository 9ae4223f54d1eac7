"""Metrics of a run for Prometheus (`publish_metrics`), if `DERAIN_METRICS` says where they go."""

from __future__ import annotations

from infra.metrics import Gauge, export_metrics
from infra.settings import Settings
from tasks.batch.summary import RunSummary
from tasks.prefect_runs import attempt

JOB = "derain_batch"


def publish_metrics(settings: Settings, summary: RunSummary) -> None:
    """Export the metrics of a run; log a warning if that fails."""
    target = settings.metrics
    if target is not None:
        group = {"destination": summary.scope.destination}
        attempt("the metrics", lambda: export_metrics(target, JOB, group, run_gauges(summary)))


def run_gauges(summary: RunSummary) -> list[Gauge]:
    """Return the metrics of a run."""
    counts = summary.counts
    images = {
        "listed": counts.listed,
        "done_before": counts.derained_before,
        "rejected_before": counts.rejects_before,
        "derained": counts.derained,
        "rejected": counts.rejected,
        "pending": counts.pending,
    }
    return [
        Gauge("derain_run_images", "Images of the last run by outcome", images, "outcome"),
        Gauge("derain_run_rejected_images", "Rejected images by reason", counts.rejected_for, "reason"),
        Gauge("derain_run_queue_images", "Pending images at the start of the run", {"": summary.queue}),
        Gauge("derain_run_megapixels", "Derained megapixels", {"": summary.pixels / 1e6}),
        Gauge("derain_run_seconds", "Wall time by stage of the run", summary.stage_seconds, "stage"),
        Gauge("derain_run_worker_seconds", "CPU time of all workers", {"": summary.image_seconds}),
        Gauge("derain_run_phase_seconds", "CPU time of all workers by phase", summary.phase_seconds, "phase"),
        Gauge("derain_run_failed", "1 if the run failed, else 0", {"": float(summary.state == "Failed")}),
        Gauge(
            "derain_run_finished_timestamp_seconds",
            "When the run ended, in seconds since 1970",
            {"": summary.finished_at.timestamp()},
        ),
    ]
