"""The report of a run: one HTML file that needs nothing else, with sliders between rainy and derained."""

from __future__ import annotations

import unicodedata
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib.resources import files
from io import BytesIO

import numpy as np
from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from PIL import Image

from infra.records import DerainRecord
from tasks.batch.summary import RunSummary, duration, rate

# These bound the page: 16 pairs of at most 960 pixels a side are some megabytes at worst.
MOST_SAMPLES = 8
MOST_REJECTED = 200
LONGEST_SIDE = 960
JPEG_QUALITY = 85

# Joiners shape letters and emoji; the other invisible characters can reorder or hide parts of a key.
JOINERS = "\u200c\u200d"
INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


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


def visible(text: str) -> str:
    r"""Show invisible and reordering characters as escapes (`\u202e`), so that no key can pose as another."""
    return "".join(
        char.encode("unicode_escape", "surrogatepass").decode("ascii") if _is_invisible(char) else char
        for char in text
    )


def _is_invisible(char: str) -> bool:
    return unicodedata.category(char) in INVISIBLE and char not in JOINERS


def page_template(name: str) -> Template:
    """Load a page of this package, with the filters that all pages share; they share `page.css` too."""
    environment = Environment(
        loader=FunctionLoader(
            lambda part: files("tasks").joinpath("pages", part).read_text(encoding="utf-8")
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        visible=visible,
        number=lambda value: f"{value:,}",
        rate=rate,
        duration=duration,
        moment=_moment,
        csp_hash=_csp_hash,
    )
    return environment.get_template(name)


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _csp_hash(script: str) -> str:
    """Name a script to the page's content security policy: no other script runs, whatever a key says."""
    return "sha256-" + b64encode(sha256(script.encode()).digest()).decode()


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


def shrunk(rgb: np.ndarray) -> Image.Image:
    """Make a picture no larger than a page shows, of (H, W, 3) uint8."""
    picture = Image.fromarray(np.ascontiguousarray(rgb))
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return picture


def data_uri(picture: Image.Image) -> str:
    """Write a picture into an address, as JPEG."""
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + b64encode(buffer.getvalue()).decode("ascii")
