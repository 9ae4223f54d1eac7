"""Export of metrics for Prometheus (`export_metrics`): to a file that node_exporter reads, or to a Pushgateway."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.errors import TransientError, one_line

TIMEOUT_SECONDS = 5.0


class MetricsUnsent(TransientError):
    """Raised if metrics could not be written or sent; the message names the target."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """One metric and its values."""

    name: str
    meaning: str
    values: Mapping[str, float]
    """Values by label; a gauge without a label has one value under the empty string."""
    label: str = ""
    """Name of the label."""


def export_metrics(target: str, job: str, group: Mapping[str, str], gauges: Iterable[Gauge]) -> None:
    """Write or send metrics, which replace those of an earlier run of the same job and group.

    Parameters
    ----------
    target : str
        Path of a `.prom` file, or address of a Pushgateway.
    job : str
        Name of the job.
    group : mapping
        Labels that all metrics carry.
    gauges : iterable of Gauge
        The metrics.

    Raises
    ------
    MetricsUnsent
        If the target cannot be written or does not answer.
    """
    from prometheus_client import CollectorRegistry, push_to_gateway, write_to_textfile
    from prometheus_client import Gauge as Collected

    registry = CollectorRegistry()
    for gauge in gauges:
        labels = [*group, *([gauge.label] if gauge.label else [])]
        collected = Collected(gauge.name, gauge.meaning, labels, registry=registry)
        for value_of, value in gauge.values.items():
            collected.labels(*group.values(), *([value_of] if gauge.label else [])).set(value)
    try:
        if target.startswith(("http://", "https://")):
            push_to_gateway(target, job, registry, grouping_key=dict(group), timeout=TIMEOUT_SECONDS)
        else:
            if not Path(target).parent.is_dir():
                raise MetricsUnsent(f"{target}: there is no folder {Path(target).parent}; create it")
            write_to_textfile(target, registry)
    except OSError as error:
        raise MetricsUnsent(f"{target}: metrics could not be exported: {one_line(error)}") from error
