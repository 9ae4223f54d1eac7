"""The review page of a curation (`publish_review`): pseudo-labels and their crops, to accept or reject by key.

The most doubtful decisions come first. The page is one self-contained HTML file; it saves decisions as a file that
the next curation reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from PIL import Image

from infra.catalog.pool import Pool
from infra.records import PseudoLabelRecord
from infra.settings import Settings
from infra.storage.location import open_location
from tasks.curation.acceptance import NO_RAIN, TEMPORAL
from tasks.curation.judged_shards import Judged, read_pixels
from tasks.curation.score_words import SCORES
from tasks.pages.pictures import data_uri
from tasks.pages.templates import page_template

FOLDER = "reviews"
MOST_SHOWN = 60
"""Largest number of crops on a page, four pictures each: about 15 MB."""
MOST_AMPLIFIED = 16
"""Maximum factor by which differences are amplified; fainter differences are rounding errors."""
BRIGHTEST = 99.5
"""Percentile of a difference that is shown as white."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """One crop on the page; pictures are uint8 (H, W, 3), confidence is (H, W)."""

    row: PseudoLabelRecord
    image: str
    """Key of the photograph from which the crop was cut."""
    rainy: np.ndarray
    pseudo_label: np.ndarray
    confidence: np.ndarray


@dataclass(frozen=True, slots=True)
class Card:
    """Input of the template for one crop; all pictures are data URIs of one size."""

    crop_id: str
    judgement: str
    image: str
    decision: str
    reason: str
    details: str
    facts: tuple[tuple[str, str], ...]
    """Rule and scores, in words."""
    pictures: tuple[tuple[str, str], ...]
    """Caption and data URI of each picture."""
    width: int
    height: int


def render_review(shown: Sequence[Reviewed], run_id: str, decided: int) -> str:
    """Render the page.

    Parameters
    ----------
    shown : sequence of Reviewed
        The crops to show, in this order.
    run_id : str
        Id of the curation run.
    decided : int
        Number of crops that the run decided on.
    """
    cards = [_card(each) for each in shown]
    page = page_template("review.html")
    return page.render(cards=cards, run_id=run_id, decided=decided, scores=SCORES, no_rain=NO_RAIN)


def publish_review(
    settings: Settings,
    crops: pl.DataFrame,
    rows: Sequence[PseudoLabelRecord],
    judged: Mapping[str, Judged],
) -> str | None:
    """Write the page of a run to the workspace and return its URL; None if there is nothing to show.

    If the page of the run exists already, its URL is returned.

    Parameters
    ----------
    settings : Settings
        Workspace, and the limits near which a decision is doubtful.
    crops : polars.DataFrame
        Rows of the pool.
    rows : sequence of PseudoLabelRecord
        The decisions of the run.
    judged : mapping
        The judgements, by crop id, whose pixels are in the workspace; other crops are not shown.
    """
    if not rows:
        return None
    location, run_id = open_location(f"{settings.workspace}/{FOLDER}"), rows[0].run_id
    if location.exists(f"{run_id}.html"):
        return f"{location.url}/{run_id}.html"
    chosen = sorted(rows, key=lambda row: doubt(row, settings), reverse=True)
    shown: list[Reviewed] = []
    for row in chosen:
        if len(shown) == MOST_SHOWN:
            break
        one = _reviewed(settings, crops, row, judged.get(row.crop_id))
        if one is not None:
            shown.append(one)
    if not shown:
        return None
    location.put(f"{run_id}.html", render_review(shown, run_id, len(rows)).encode())
    return f"{location.url}/{run_id}.html"


def doubt(row: PseudoLabelRecord, settings: Settings) -> float:
    """Return how doubtful a decision is: most near the limit of the score, least for crops without rain."""
    if row.reason == NO_RAIN or row.confident == 0:
        return -2.0
    if row.reviewer_decision is not None:
        return -1.0
    limit = settings.curation.static if row.rule == TEMPORAL else settings.curation.score
    return 1 - abs(row.score - limit)


def _reviewed(
    settings: Settings, crops: pl.DataFrame, row: PseudoLabelRecord, judged: Judged | None
) -> Reviewed | None:
    """Collect the pixels of a crop; None if it has none."""
    pixels = None if judged is None else read_pixels(settings.workspace, judged)
    of_pool = crops.filter(pl.col("crop_id") == row.crop_id)
    if pixels is None or of_pool.is_empty():
        return None
    crop = of_pool.row(0, named=True)
    valid = (slice(0, crop["height"]), slice(0, crop["width"]))
    rainy = Pool(settings.workspace).pixels(of_pool)[0][valid]
    return Reviewed(row, crop["key"], rainy, pixels.pseudo_label[valid], pixels.confidence[valid])


def _card(shown: Reviewed) -> Card:
    row = shown.row
    factor, difference = _stretched(np.abs(shown.rainy.astype(np.int16) - shown.pseudo_label))
    pictures = {
        "Rainy": shown.rainy,
        "Pseudo-label": shown.pseudo_label,
        f"Difference x {factor:.2g}": difference,
        "Confidence": np.repeat(shown.confidence[..., None], 3, axis=-1),
    }
    return Card(
        crop_id=row.crop_id,
        judgement=row.judgement,
        image=shown.image,
        decision=row.decision,
        reason=row.reason or "",
        details=row.reason_details or "",
        facts=_facts(row),
        pictures=tuple((what, data_uri(Image.fromarray(pixels))) for what, pixels in pictures.items()),
        width=shown.rainy.shape[1],
        height=shown.rainy.shape[0],
    )


def _stretched(difference: np.ndarray) -> tuple[float, np.ndarray]:
    """Amplify a difference so that its brightest parts are white, and return the factor with it."""
    brightest = max(float(np.percentile(difference, BRIGHTEST)), 1.0)
    factor = min(255 / brightest, MOST_AMPLIFIED)
    return factor, np.clip(factor * difference, 0, 255).astype(np.uint8)


def _facts(row: PseudoLabelRecord) -> tuple[tuple[str, str], ...]:
    scores = ((score.words, score.shown(getattr(row, score.column))) for score in SCORES)
    return (("rule", row.rule), *((words, value) for words, value in scores if value is not None))
