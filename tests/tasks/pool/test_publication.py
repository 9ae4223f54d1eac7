"""The page and artifacts of an ingest, including cases in which one of them fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infra.catalog.delta.attempts import CatalogError
from infra.settings import Settings
from infra.storage.listing import LeftOut
from tasks.drift import publication as drift_publication
from tasks.pool import publication
from tasks.pool.summary import IngestSummary
from tests.support.samples.reports import STARTED


@pytest.mark.usefixtures("without_server")
def test_an_artifact_that_cannot_be_made_does_not_fail_an_ingest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def faulty(settings: Settings, crops: int) -> None:
        raise CatalogError("catalog away")

    monkeypatch.setattr(publication, "emit_pool_grown", faulty)
    monkeypatch.setattr(drift_publication, "watch_drift", faulty)
    settings = Settings(workspace=str(tmp_path), _env_file=None)
    page = publication.publish_ingest(settings, _ingested())
    drift_publication.publish_drift(settings, 2)
    assert Path(str(page)).exists()
    assert [line.partition(" could")[0] for line in caplog.messages] == [
        "the table of counts",
        "the page in Prefect",
        "the growth of the pool",
        "drift",
    ]


@pytest.mark.usefixtures("without_server")
def test_an_ingest_with_nothing_to_do_leaves_no_page_and_no_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(publication, "emit_pool_grown", lambda settings, crops: None)
    idle = replace(_ingested(), accepted=0, known_before=2)
    assert publication.publish_ingest(Settings(workspace=str(tmp_path), _env_file=None), idle) is None
    assert caplog.messages == []
    assert not (tmp_path / "reports").exists()


def _ingested() -> IngestSummary:
    return IngestSummary(
        run_id="run-1",
        state="Completed",
        message="",
        sources=("/rainy",),
        started_at=STARTED,
        finished_at=STARTED,
        listed=2,
        left_out=LeftOut(),
        known_before=0,
        accepted=2,
        reasons={},
        pending=0,
        train_crops=2,
        validation_crops=0,
        pool_crops=2,
    )
