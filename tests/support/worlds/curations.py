"""Curations of small pools, judged in this process."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from infra.catalog.pseudo_labels import PseudoLabels
from infra.records import ImageRef
from infra.storage.location import open_location
from models.modelfile import STUDENT_BASE
from models.shipped import WEIGHTS
from tasks.curation.coordinator import curate_pool
from tasks.curation.planning import CurationRequest
from tasks.curation.summary import CurationSummary
from tests.support.worlds.pools import RecordingExecutor, settings_of

STUDENT = str(STUDENT_BASE)
SMALL = str(WEIGHTS / "student-small.safetensors")
LIMITS = {"informedness": 0.2, "score": 0.3, "neighbours": 0}
"""Crops of the tests are small: probes cover much of them."""


class CurationWorld:
    """A workspace and the curations in it, judged in this process."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = str(workspace)
        self.judges = RecordingExecutor()
        self.labels = PseudoLabels(self.workspace)

    def curate(
        self,
        run: str,
        decisions: str | None = None,
        teacher: str = STUDENT,
        limit: int | None = None,
        **limits: object,
    ) -> CurationSummary:
        other = SMALL if teacher == STUDENT else STUDENT
        request = CurationRequest(run, teacher, (other,), None, decisions, limit)
        return curate_pool(settings_of(self.workspace, **{**LIMITS, **limits}), request, self.judges)

    def rows(self, run: str) -> dict[str, dict[str, object]]:
        rows = self.labels.rows().filter(pl.col("run_id") == run)
        return {row["crop_id"]: row for row in rows.iter_rows(named=True)}

    def list(self, folder: str) -> list[ImageRef]:
        return list(open_location(f"{self.workspace}/{folder}").list())

    def accepted(self) -> list[str]:
        return self.labels.accepted()["crop_id"].to_list()

    def decide(self, name: str, words: dict[str, str], judgement: str | None = None) -> str:
        """Write a file of decisions on what was judged last."""
        seen = judgement or self.labels.rows()["judgement"][-1]
        rows = [{"crop_id": crop, "judgement": seen, "decision": word} for crop, word in words.items()]
        path = Path(self.workspace) / name
        path.write_text(json.dumps(rows))
        return str(path)


def total(summary: CurationSummary) -> int:
    return summary.decided.accepted + summary.decided.rejected + summary.decided.kept
