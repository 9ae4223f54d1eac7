"""The flow ingest: its help, a run with a page and artifacts, and refusals in one line."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from unittest import mock

import pytest

from flows.ingest import ingest
from infra.catalog.pool import Pool
from tasks.pool.coordinator import ingest_pending
from tasks.waves.executors import in_process
from tests.support.help_texts import assert_help_explains_every_parameter
from tests.support.worlds.ingest import new_world


@pytest.fixture
def without_server() -> Iterator[dict[str, mock.Mock]]:
    """Run the flow's function directly; collect its artifacts instead of sending them to Prefect."""
    with (
        mock.patch("flows.ingest.ingest_pending", partial(ingest_pending, open_executor=in_process)),
        mock.patch("tasks.prefect_runs.is_in_flow_run", return_value=True),
        mock.patch("tasks.progress.report"),
        mock.patch("tasks.waves.runner.as_task_run", lambda name, number, work: work()),
        mock.patch("tasks.pool.publication.create_table_artifact") as table,
        mock.patch("tasks.pool.publication.create_markdown_artifact") as markdown,
        mock.patch("prefect.artifacts.create_link_artifact") as link,
    ):
        yield {"table": table, "markdown": markdown, "link": link}


def test_help_explains_every_parameter() -> None:
    assert_help_explains_every_parameter(ingest)


def test_a_run_leaves_a_page_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_server: dict[str, mock.Mock]
) -> None:
    world = new_world(tmp_path)
    world.put_cameras(3)
    world.put_bytes("camera-a/<b>.png", b"no image")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DERAIN_WORKSPACE", world.settings.workspace)
    monkeypatch.setenv("DERAIN_INGEST__MIN_SIDE", "24")
    planned = ingest.fn(source=str(world.source), plan_only=True)
    assert str(planned.message).startswith("6 of 6 images to inspect")
    state = ingest.fn(source=str(world.source))
    assert state.is_completed(), state.message
    assert str(state.message).startswith("3 images accepted, 3 rejected (1 flat,")
    (page,) = Path(world.settings.workspace, "reports").glob("ingest-*.html")
    assert str(page) in str(state.message)
    html = page.read_text()
    assert html.count("data:image/jpeg") == 3 + 2  # crops and the rejects that can be shown
    assert "near duplicate" in html
    assert "<b>.png" not in html
    assert without_server["table"].call_args.args[0][0] == {"what": "listed", "images": 6}
    text = without_server["markdown"].call_args.args[0]
    assert "| accepted | 3 |" in text
    assert "| near duplicate | 1 |" in text
    assert f"Report: `{page}`" in text
    assert not without_server["link"].called  # to a file, which no browser would open from Prefect's page
    assert Pool(world.settings.workspace).count() == 3


@pytest.mark.parametrize(
    ("asked", "variable", "reported"),
    [
        ({}, {}, "no source: give --source or set DERAIN_SOURCE"),
        ({"source": "nowhere"}, {}, "nowhere"),
        ({"source": "."}, {}, "no images there"),
        ({"source": "."}, {"DERAIN_INGEST__GROUP_PATTERN": "(cam"}, "not a regular expression"),
    ],
)
def test_a_refusal_is_one_line(
    asked: dict[str, str],
    variable: dict[str, str],
    reported: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DERAIN_SOURCE", raising=False)
    for name, value in {"DERAIN_WORKSPACE": str(tmp_path / "workspace"), **variable}.items():
        monkeypatch.setenv(name, value)
    state = ingest.fn(**asked)
    assert (state.is_failed(), reported in str(state.message)) == (True, True), state.message
