"""The report of a run (`render`): one self-contained HTML file with sliders between rainy and derained images."""

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

# These limit the page size: 16 pairs of at most `LONGEST_SIDE` pixels per side take a few megabytes at worst.
MOST_SAMPLES = 8
MOST_REJECTED = 200
MOST_LISTED = 50_000
"""Largest number of images in the table, about 80 bytes each."""
VIEWABLE = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif")
"""Suffixes of files that browsers can open."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of the run before and after deraining; both uint8 (H, W, 3) of one size."""

    record: DerainRecord
    rainy: np.ndarray
    derained: np.ndarray


@dataclass(frozen=True, slots=True)
class Report:
    """The content of the page. `images` and `rejected` may be truncated; the counts cover all images."""

    summary: RunSummary
    worst: Sequence[Sample]
    """Largest rain energy first."""
    random: Sequence[Sample]
    rejected: Sequence[DerainRecord]
    rejected_total: int
    images: Sequence[DerainRecord] = ()
    """Derained and rejected images of the run, for the table."""
    links: str | None = None
    """URL of the output folder, relative to the page and ending in a slash; None if a browser cannot open it."""


@dataclass(frozen=True, slots=True)
class Card:
    """A sample as the template needs it; pictures are data URIs of `width` x `height` pixels."""

    key: str
    full_width: int
    full_height: int
    rain_removed: str
    """Share of the photograph's energy that was removed as rain, in words."""
    link: str | None
    """URL of the output."""
    rainy: str
    derained: str
    width: int
    height: int


class Row(NamedTuple):
    """A row of the table, as the page's script reads it."""

    name: str
    output_key: str | None
    width: int | None
    height: int | None
    rain_removed: float | None
    reason: str | None
    """Reason for rejection; None if the image was derained."""
    dropped: str | None
    """Contents of the source file that the output lacks."""


def render(report: Report) -> str:
    """Render the report as one self-contained HTML page.

    The page shows at most `MOST_SAMPLES` samples of each kind, `MOST_REJECTED` rejects and `MOST_LISTED` table
    rows. A random sample that is also among the worst is shown once.

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
    """Return the change of an image as a fraction of its brightness, at most 1; None if unknown."""
    if record.rain_energy is None or not record.brightness:
        return None
    return min(record.rain_energy / record.brightness, 1.0)


def _in_words(share: float | None) -> str:
    if share is None:
        return "rain removed: unknown"
    return f"rain removed: {percentage(share)} of the photograph's energy"


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
