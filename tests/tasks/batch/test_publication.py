"""The report and artifacts of a run, including cases in which one of them fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import prefect.events
import pytest
from PIL import Image

from infra.prefect.alerts import PENDING
from infra.settings import Settings
from tasks.batch import publication
from tasks.batch.publication import samples
from tasks.codec.exports import Export
from tasks.media.medium import MediumSpec
from tests.support.samples import reports
from tests.support.samples.images import encoded
from tests.support.samples.records import record


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


@pytest.mark.usefixtures("without_server")
@pytest.mark.parametrize(("pending", "events"), [(0, []), (3, [PENDING])])
def test_pending_images_are_an_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pending: int, events: list[str]
) -> None:
    emitted: list[tuple[str, dict[str, int]]] = []
    monkeypatch.setattr(
        prefect.events, "emit_event", lambda name, resource, payload: emitted.append((name, payload))
    )
    run = reports.summary(replace(reports.summary().counts, pending=pending))
    spec = MediumSpec(str(tmp_path), str(tmp_path), Export("png"), 1000)
    publication.publish(run, spec, Settings(workspace=str(tmp_path / "var"), _env_file=None))
    assert [name for name, _ in emitted] == events
    assert all(payload["pending"] == pending for _, payload in emitted)


@pytest.mark.usefixtures("without_server")
def test_without_a_server_the_report_is_there_as_well(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = MediumSpec(str(tmp_path), str(tmp_path), Export("png"), 1000)
    settings = Settings(workspace=str(tmp_path / "var"), _env_file=None)
    report = publication.publish(reports.summary(), spec, settings)
    assert Path(report).read_text().startswith("<!DOCTYPE html>")
    assert [line.partition(" could")[0] for line in caplog.messages] == [
        "the table of counts",
        "the page in Prefect",
    ]
