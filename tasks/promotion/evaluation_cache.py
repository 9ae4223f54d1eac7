"""Cache of evaluations (`remember`, `recall`), keyed by the two networks and the manifest.

`<workspace>/evaluations/same/<identity>.json` names the Parquet table of an evaluation and holds its latency
ratios. A retraining therefore derains the validation photographs once, in `evaluate`, and `promote` decides on
those measurements.
"""

from __future__ import annotations

import io
import json
import logging
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import polars as pl

from infra.errors import ObjectNotFound, one_line
from infra.settings import Settings
from infra.storage.location import open_location
from tasks.promotion.scores import Compared, Evaluation, ImageScore
from tasks.promotion.validation_manifest import ValidationManifest
from tasks.resolved_model import ResolvedModel

logger = logging.getLogger(__name__)

FIGURES_VERSION = 1
"""Version of the measurements; increase it when their method changes: earlier evaluations are then not reused."""


@dataclass(frozen=True, slots=True)
class RecordedEvaluation:
    """An evaluation without pictures, and the URL of its table."""

    evaluation: Evaluation
    table: str


def remember(settings: Settings, evaluation: Evaluation, table: str) -> None:
    """Store an evaluation whose table is at the URL `table`, so that `recall` finds it."""
    name = _identity(settings, evaluation.champion, evaluation.challenger, evaluation.manifest)
    note = {"table": table.rpartition("/")[2], "latency_ratios": evaluation.latency_ratios.tolist()}
    open_location(evaluations_folder(settings)).put(f"same/{name}.json", json.dumps(note).encode())


def recall(
    settings: Settings, champion: ResolvedModel, challenger: ResolvedModel, manifest: ValidationManifest
) -> RecordedEvaluation | None:
    """Return the evaluation of two networks on a manifest; None if there is none that can be reused.

    Its table must exist and have all figures: a later release may measure more of them. A damaged file is logged
    and counts as none.

    Raises
    ------
    TransientError, AccessDenied
        If storage fails.
    """
    location = open_location(evaluations_folder(settings))
    try:
        note = json.loads(location.fetch(f"same/{_identity(settings, champion, challenger, manifest)}.json"))
        rows = pl.read_parquet(io.BytesIO(location.fetch(note["table"])))
        ratios = np.array(note["latency_ratios"], np.float64)
    except ObjectNotFound:
        return None
    except (ValueError, LookupError, TypeError, pl.exceptions.PolarsError) as damage:
        logger.warning("%s: an evaluation is damaged and measured again: %s", location.url, one_line(damage))
        return None
    if not set(ImageScore.__slots__) <= set(rows.columns):
        return None
    evaluation = Evaluation(champion, challenger, manifest, _photographs(rows), ratios)
    return RecordedEvaluation(evaluation, f"{location.url}/{note['table']}")


def evaluations_folder(settings: Settings) -> str:
    """Return the URL of the folder that holds all evaluations of a workspace."""
    return f"{settings.workspace.rstrip('/')}/evaluations"


def _identity(
    settings: Settings, champion: ResolvedModel, challenger: ResolvedModel, manifest: ValidationManifest
) -> str:
    compared: list[object] = [champion.model_file.digest, challenger.model_file.digest, manifest.digest]
    if manifest.real_scenes:  # a setting then says where probes are planted
        compared.append(manifest.has_real_rain(settings.gates.min_scenes))
    return sha256(json.dumps([FIGURES_VERSION, *compared]).encode()).hexdigest()


def _photographs(rows: pl.DataFrame) -> tuple[Compared, ...]:
    """Read the scores of both networks; the table has two rows per photograph, champion first."""
    scores = [
        (
            row["key"],
            row["scene"],
            row["set"],
            ImageScore(**{name: row[name] for name in ImageScore.__slots__}),
        )
        for row in rows.iter_rows(named=True)
    ]
    pairs = zip(scores[::2], scores[1::2], strict=True)
    return tuple(
        Compared(key, scene, champion, challenger, chosen)
        for (key, scene, chosen, champion), (*_, challenger) in pairs
    )
