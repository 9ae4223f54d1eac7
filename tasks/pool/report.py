"""The page of an ingest (`render_ingest`): one self-contained HTML file of crops, rejects and their reasons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import polars as pl
from PIL import Image

from infra.catalog.delta.conditions import all_of, quoted
from infra.catalog.pool import Pool
from infra.records import ACCEPTED, REJECTED, ImageRef
from infra.settings import Settings
from infra.storage.location import is_local
from models.images import RgbImage
from tasks.codec.exports import Export
from tasks.media.medium import MediumSpec, is_array
from tasks.media.opening import open_medium
from tasks.pages.pictures import data_uri
from tasks.pages.templates import page_template
from tasks.pool.summary import IngestSummary
from tasks.workers.reading import UNREADABLE

MOST_CROPS = 24
MOST_REJECTED = 24
THUMBNAIL_SIDE = 256
_COLUMNS = (
    *("source", "key", "etag", "size_bytes", "split", "reason", "streak_energy"),
    *("crop_id", "height", "width", "zarr_group", "zarr_row"),
)


@dataclass(frozen=True, slots=True)
class Card:
    """A thumbnail as the template needs it; `picture` is a data URI, or empty if there is nothing to show."""

    key: str
    note: str
    picture: str
    link: str | None = None
    """URL of the photograph; None if a browser cannot open it."""


def render_ingest(settings: Settings, summary: IngestSummary) -> str:
    """Render the page of a run: a sample of its crops, the rainiest first, and a sample of its rejects."""
    pool = Pool(settings.workspace)
    of_run = f"run_id = {quoted(summary.run_id)}"
    return page_template("ingest_report.html").render(
        summary=summary,
        crops=list(_crops(pool, pool.frame(_COLUMNS, all_of(of_run, ACCEPTED)))),
        rejected=list(_rejected(settings, pool.frame(_COLUMNS, all_of(of_run, REJECTED)))),
    )


def _crops(pool: Pool, rows: pl.DataFrame) -> Iterator[Card]:
    shown = rows.sort(["streak_energy", "crop_id"], descending=[True, False]).head(MOST_CROPS)
    for row, crop in zip(shown.iter_rows(named=True), pool.pixels(shown), strict=True):
        note = f"{row['split']}, streak energy {row['streak_energy']:.4f}"
        yield Card(row["key"], note, _thumbnail(crop[: row["height"], : row["width"]]))


def _rejected(settings: Settings, rows: pl.DataFrame) -> Iterator[Card]:
    """Yield rejects of every reason, then more of the most frequent reasons."""
    turn = pl.int_range(pl.len()).over(pl.col("reason").str.split(" (").list.first())
    for row in rows.sort("crop_id").sort(turn).head(MOST_REJECTED).iter_rows(named=True):
        link = _link(settings, row["source"], row["key"])
        yield Card(row["key"], row["reason"], _picture(settings, row), link)


def _link(settings: Settings, source: str, key: str) -> str | None:
    """Return the URL of a photograph in a folder, if the page is a file too; browsers cannot open the others."""
    if is_array(source) or not (is_local(source) and is_local(settings.workspace)):
        return None
    return f"{Path(source).as_uri()}/{quote(key)}"


def _picture(settings: Settings, row: dict[str, object]) -> str:
    """Read a rejected image again; return an empty string if it cannot be read."""
    source = str(row["source"])
    spec = MediumSpec(source, settings.workspace, Export("png"), settings.max_pixels, is_array(source))
    try:
        medium = open_medium(spec)
        ref = ImageRef(str(row["key"]), str(row["etag"]), int(str(row["size_bytes"])))
        return _thumbnail(medium.decode(medium.fetch(ref)).rgb)
    except UNREADABLE:
        return ""


def _thumbnail(rgb: RgbImage) -> str:
    picture = Image.fromarray(rgb)
    picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    return data_uri(picture)
