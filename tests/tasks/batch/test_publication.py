"""The report that a run leaves in the workspace, and its artifacts, when something of them is amiss."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from infra.delta import CatalogFault
from infra.settings import Settings
from tasks import progress
from tasks.batch import publication
from tasks.batch.publication import samples
from tasks.codec.exports import Export
from tasks.media.medium import MediumSpec
from tasks.pool import publication as ingest_publication
from tasks.pool.summary import IngestSummary
from tests import report_samples
from tests.image_samples import encoded
from tests.samples import record


def test_a_sample_that_cannot_be_shown_by_now_is_left_out(tmp_path: Path) -> None:
    picture = encoded(Image.fromarray(np.zeros((4, 6, 3), np.uint8)), "PNG")
    (tmp_path / "rainy").mkdir()
    (tmp_path / "derained").mkdir()
    for key, data in (("good.png", picture), ("overwritten.png", b"?" * len(picture))):
        (tmp_path / "rainy" / key).write_bytes(data)
        (tmp_path / "derained" / key).write_bytes(picture)
    keys = ("overwritten.png", "x" * 300 + ".png", "good.png")
    rows = [replace(record(key), size_bytes=len(picture), output_key=key) for key in keys]
    spec = MediumSpec(str(tmp_path / "rainy"), str(tmp_path / "derained"), Export("png"), 1000)
    assert [sample.record.key for sample in samples(spec, rows)] == ["good.png"]


def _gone(*_: Any, **__: Any) -> None:
    raise httpx.ConnectError("connection refused")


@pytest.fixture
def without_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Prefect server that is gone, and a log that pytest can read."""
    monkeypatch.setattr(progress, "run_log", lambda: logging.getLogger("derain"))
    for module in (publication, ingest_publication):
        monkeypatch.setattr(module, "create_table_artifact", _gone)
        monkeypatch.setattr(module, "create_link_artifact", _gone)


@pytest.mark.usefixtures("without_server")
def test_without_a_server_the_report_is_there_as_well(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = MediumSpec(str(tmp_path), str(tmp_path), Export("png"), 1000)
    report = publication.publish(report_samples.summary(), spec, str(tmp_path / "var"))
    assert Path(report).read_text().startswith("<!DOCTYPE html>")
    assert [line.partition(" could")[0] for line in caplog.messages] == [
        "the table of counts",
        "the link to the report",
    ]


@pytest.mark.usefixtures("without_server")
def test_what_cannot_be_told_of_an_ingest_does_not_fail_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def faulty(settings: Settings, crops: int) -> None:
        raise CatalogFault("catalog away")

    monkeypatch.setattr(ingest_publication, "tell_growth", faulty)
    monkeypatch.setattr(ingest_publication, "watch_drift", faulty)
    settings = Settings(workspace=str(tmp_path), _env_file=None)
    page = ingest_publication.publish_ingest(settings, _ingested())
    assert Path(page).exists()
    assert [line.partition(" could")[0] for line in caplog.messages] == [
        "the table of counts",
        "the link to the page",
        "the growth of the pool",
        "drift",
    ]


def _ingested() -> IngestSummary:
    return IngestSummary(
        run_id="run-1",
        state="Completed",
        message="",
        sources=("/rainy",),
        started_at=report_samples.STARTED,
        finished_at=report_samples.STARTED,
        listed=2,
        skipped=0,
        known_before=0,
        accepted=2,
        reasons=(),
        pending=0,
        train_crops=2,
        validation_crops=0,
        pool_crops=2,
    )
