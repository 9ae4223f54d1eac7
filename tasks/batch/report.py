"""The report of a run: one HTML file that needs nothing else, with sliders between rainy and derained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infra.records import DerainRecord
from tasks.batch.summary import RunSummary
from tasks.pages.pictures import LONGEST_SIDE, data_uri, shrunk
from tasks.pages.templates import page_template

# These bound the page: 16 pairs of at most `LONGEST_SIDE` pixels a side are some megabytes at worst.
MOST_SAMPLES = 8
MOST_REJECTED = 200


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of the run before and after; both uint8 (H, W, 3) of one size."""

    record: DerainRecord
    rainy: np.ndarray
    derained: np.ndarray


@dataclass(frozen=True, slots=True)
class Report:
    """What the page shows. `rejected` may be cut: `rejected_total` tells how many there are."""

    summary: RunSummary
    worst: Sequence[Sample]
    """Largest rain energy first."""
    random: Sequence[Sample]
    rejected: Sequence[DerainRecord]
    rejected_total: int


@dataclass(frozen=True, slots=True)
class Card:
    """A sample as the template needs it; pictures are data URIs of `width` x `height`."""

    key: str
    full_width: int
    full_height: int
    rain_energy: float | None
    rainy: str
    derained: str
    width: int
    height: int


def render(report: Report) -> str:
    """Write the report as one self-contained HTML page.

    At most `MOST_SAMPLES` of each kind and `MOST_REJECTED` rejects are shown; a random sample that is among
    the worst is not shown twice.

    Parameters
    ----------
    report : Report
        Summary, samples and rejects of one run.

    Returns
    -------
    str
        HTML that can always be encoded as UTF-8.
    """
    worst = report.worst[:MOST_SAMPLES]
    shown_keys = {sample.record.key for sample in worst}
    random = [sample for sample in report.random if sample.record.key not in shown_keys][:MOST_SAMPLES]
    rejected = report.rejected[:MOST_REJECTED]
    return page_template("report.html").render(
        summary=report.summary,
        counts=report.summary.counts,
        worst=[_card(sample) for sample in worst],
        random=[_card(sample) for sample in random],
        rejected=rejected,
        rejected_more=max(0, report.rejected_total - len(rejected)),
        rejected_total=report.rejected_total,
        longest_side=LONGEST_SIDE,
    )


def _card(sample: Sample) -> Card:
    rainy, derained = shrunk(sample.rainy), shrunk(sample.derained)
    return Card(
        key=sample.record.key,
        full_width=sample.rainy.shape[1],
        full_height=sample.rainy.shape[0],
        rain_energy=sample.record.rain_energy,
        rainy=data_uri(rainy),
        derained=data_uri(derained),
        width=rainy.width,
        height=rainy.height,
    )
