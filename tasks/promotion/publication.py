"""Records of an evaluation (`record`): a Parquet table and a page in the workspace, and a run in MLflow."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import polars as pl

from infra.settings import Settings
from infra.storage.location import open_location
from infra.tracking.runs import Figures, log_figures
from models.images import RgbImage
from tasks.prefect_runs import run_log
from tasks.promotion.comparison_page import render_comparison
from tasks.promotion.evaluation_cache import evaluations_folder, remember
from tasks.promotion.gates import Verdict
from tasks.promotion.scores import Evaluation, Shown

EXPERIMENT = "evaluation"
MOST_PICTURES = 4
"""Number of worst photographs that MLflow shows side by side."""


def record(settings: Settings, evaluation: Evaluation, verdict: Verdict, run_id: str) -> str:
    """Store measurements, page and pictures; return the URL of the table of measurements per photograph.

    Raises
    ------
    TrackingUnreachable
        If the tracking server does not answer.
    """
    run_log().info("recording the evaluation")
    location = open_location(evaluations_folder(settings))
    rows = _rows(evaluation)
    title = evaluation.champion.label, evaluation.challenger.label
    page = render_comparison(evaluation, verdict, title, run_id).encode()
    location.put(f"{run_id}.parquet", _parquet(rows))
    location.put(f"{run_id}.html", page)
    url = f"{location.url}/{run_id}.parquet"
    figures = Figures(
        parameters=_parameters(evaluation, url),
        metrics=_metrics(evaluation, verdict),
        tables={"photographs.json": rows},
        files={"comparison.html": page},
        pictures={
            f"worst-{number}": _side_by_side(each)
            for number, each in enumerate(evaluation.worst[:MOST_PICTURES], 1)
        },
    )
    log_figures(settings, EXPERIMENT, run_id, figures)
    remember(settings, evaluation, url)
    return url


def _rows(evaluation: Evaluation) -> list[dict[str, object]]:
    """Return one row per photograph and network."""
    return [
        {
            "key": each.key,
            "set": each.set,
            "scene": each.scene,
            "role": role,
            "model": model.label,
            "digest": model.model_file.digest,
            **asdict(getattr(each, role)),
        }
        for each, (role, model) in itertools.product(
            evaluation.photographs,
            (("champion", evaluation.champion), ("challenger", evaluation.challenger)),
        )
    ]


def _parquet(rows: Sequence[dict[str, object]]) -> bytes:
    file = io.BytesIO()
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(file)
    return file.getvalue()


def _side_by_side(shown: Shown) -> RgbImage:
    """Return the rainy, champion's, challenger's and, if there is one, clean picture in one row."""
    parts = (shown.rainy, shown.champion, shown.challenger, shown.clean)
    return np.concatenate([np.asarray(part) for part in parts if part is not None], axis=1)


def _parameters(evaluation: Evaluation, table: str) -> dict[str, object]:
    return {
        "champion": evaluation.champion.label,
        "champion_digest": evaluation.champion.model_file.digest,
        "challenger": evaluation.challenger.label,
        "challenger_digest": evaluation.challenger.model_file.digest,
        "manifest": evaluation.manifest.url,
        "manifest_digest": evaluation.manifest.digest,
        "table": table,
    }


def _metrics(evaluation: Evaluation, verdict: Verdict) -> dict[str, float]:
    bounds = ("champion", "challenger", "loss", "loss_lower", "loss_upper")
    gates = {f"{gate.name}.{bound}": getattr(gate, bound) for gate in verdict.gates for bound in bounds}
    return gates | evaluation.reported()
