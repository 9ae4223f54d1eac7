from __future__ import annotations

from pathlib import Path

import prefect.artifacts
import pytest

from infra.storage.location import ObjectNotFound
from tasks import prefect_runs
from tasks.pages.publishing import Page, put_page


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """What is linked in Prefect: address, text and key."""
    made: list[tuple[str, str, str]] = []
    monkeypatch.setattr(prefect_runs, "is_in_flow_run", lambda: True)
    monkeypatch.setattr(
        prefect.artifacts,
        "create_link_artifact",
        lambda link, link_text, key: made.append((link, link_text, key)),
    )
    return made


def page(render=lambda: "<!DOCTYPE html>雨") -> Page:
    return Page("one two.html", render, key="report", link_text="Report")


def test_a_page_is_written_and_linked(tmp_path: Path, links) -> None:
    url = put_page(str(tmp_path), page())
    assert url == f"{tmp_path}/reports/one two.html"
    assert Path(url).read_text(encoding="utf-8") == "<!DOCTYPE html>雨"
    assert links == [(f"file://{tmp_path}/reports/one%20two.html", "Report", "report")]


def test_a_page_in_a_bucket_is_linked_by_its_url(moto: str, links) -> None:
    url = put_page(moto, page())
    assert url == f"{moto}/reports/one two.html"
    assert links == [(url, "Report", "report")]


def test_what_storage_refuses_is_not_written_and_not_linked(tmp_path: Path, links) -> None:
    def gone() -> str:
        raise ObjectNotFound("rows away")

    assert put_page(str(tmp_path), page(gone)) == "not written, rows away"
    assert not (tmp_path / "reports").exists()
    assert links == []
