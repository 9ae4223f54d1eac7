"""The report of a run: one HTML file that needs nothing else, with sliders between rainy and derained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

from infra.records import DerainRecord
from tasks.batch.summary import RunSummary
from tasks.pages.pictures import LONGEST_SIDE, data_uri, shrunk
from tasks.pages.templates import page_template, visible
from tasks.readable import percentage

# These bound the page: 16 pairs of at most `LONGEST_SIDE` pixels a side are some megabytes at worst.
MOST_SAMPLES = 8
MOST_REJECTED = 200
MOST_LISTED = 50_000
"""Images in the table, some 80 bytes each."""
VIEWABLE = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif")
"""Suffixes of files that a browser opens."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of the run before and after; both uint8 (H, W, 3) of one size."""

    record: DerainRecord
    rainy: np.ndarray
    derained: np.ndarray


@dataclass(frozen=True, slots=True)
class Report:
    """What the page shows. `images` and `rejected` may be cut; the summary and `rejected_total` count them all."""

    summary: RunSummary
    worst: Sequence[Sample]
    """Largest rain energy first."""
    random: Sequence[Sample]
    rejected: Sequence[DerainRecord]
    rejected_total: int
    images: Sequence[DerainRecord] = ()
    """Derained and rejected images of the run, for the table."""
    links: str | None = None
    """`file://` URL of the folder of the outputs, ending in a slash; None where a browser cannot open it."""


@dataclass(frozen=True, slots=True)
class Card:
    """A sample as the template needs it; pictures are data URIs of `width` x `height`."""

    key: str
    full_width: int
    full_height: int
    rain_removed: str
    """In words."""
    link: str | None
    """URL of the output."""
    rainy: str
    derained: str
    width: int
    height: int


class Row(NamedTuple):
    """A row of the table, as its script reads it."""

    name: str
    output_key: str | None
    width: int | None
    height: int | None
    rain_removed: float | None
    reason: str | None
    """Why it was rejected; None where it was derained."""
    dropped: str | None
    """What an output lacks of its source."""


def render(report: Report) -> str:
    """Write the report as one self-contained HTML page.

    At most `MOST_SAMPLES` of each kind, `MOST_REJECTED` rejects and `MOST_LISTED` rows of the table are shown; a
    random sample that is among the worst is not shown twice.

    Parameters
    ----------
    report : Report
        Summary, samples, images and rejects of one run.

    Returns
    -------
    str
        HTML that can always be encoded as UTF-8.
    """
    worst = report.worst[:MOST_SAMPLES]
    shown_keys = {sample.record.key for sample in worst}
    random = [sample for sample in report.random if sample.record.key not in shown_keys][:MOST_SAMPLES]
    rejected = report.rejected[:MOST_REJECTED]
    images = report.images[:MOST_LISTED]
    counts = report.summary.counts
    return page_template("report.html").render(
        summary=report.summary,
        counts=counts,
        worst=[_card(sample, report.links) for sample in worst],
        random=[_card(sample, report.links) for sample in random],
        rejected=rejected,
        rejected_more=max(0, report.rejected_total - len(rejected)),
        rejected_total=report.rejected_total,
        images=[_row(record) for record in images],
        images_more=max(0, counts.derained + counts.rejected - len(images)),
        links=report.links,
        longest_side=LONGEST_SIDE,
    )


def rain_removed(record: DerainRecord) -> float | None:
    """Return how much an image changed as a share of its brightness, at most 1; None where that is unknown."""
    if record.rain_energy is None or not record.brightness:
        return None
    return min(record.rain_energy / record.brightness, 1.0)


def _in_words(share: float | None) -> str:
    if share is None:
        return "rain removed: unknown"
    return f"rain removed: {percentage(share)} of the picture's energy"


def _card(sample: Sample, links: str | None) -> Card:
    rainy, derained = shrunk(sample.rainy), shrunk(sample.derained)
    return Card(
        key=sample.record.key,
        full_width=sample.rainy.shape[1],
        full_height=sample.rainy.shape[0],
        rain_removed=_in_words(rain_removed(sample.record)),
        link=_link(links, sample.record.output_key),
        rainy=data_uri(rainy),
        derained=data_uri(derained),
        width=rainy.width,
        height=rainy.height,
    )


def _link(links: str | None, output_key: str | None) -> str | None:
    if links is None or output_key is None or not output_key.lower().endswith(VIEWABLE):
        return None
    return links + quote(output_key)


def _row(record: DerainRecord) -> Row:
    share, reason = rain_removed(record), record.reason
    is_derained = record.status == "derained"
    return Row(
        visible(record.key),
        record.output_key,
        record.width,
        record.height,
        None if share is None else round(share, 4),
        None if is_derained else visible(reason or "no reason recorded"),
        visible(reason) if is_derained and reason else None,
    )
