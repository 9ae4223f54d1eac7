from __future__ import annotations

from pathlib import Path

import httpx
import prefect.artifacts
import pytest

from infra.errors import ObjectNotFound
from infra.operation import ReportLinks
from infra.settings import Settings
from tasks import prefect_runs
from tasks.pages.publishing import Page, put_page


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Return the links in Prefect: address, text and key."""
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


def settings_of(workspace: object, **reports: object) -> Settings:
    return Settings(workspace=str(workspace), reports=ReportLinks(**reports), _env_file=None)


def test_a_page_is_written_and_not_linked_where_no_browser_could_open_it(tmp_path: Path, links) -> None:
    url = put_page(settings_of(tmp_path), page())
    assert url == f"{tmp_path}/reports/one two.html"
    assert Path(url).read_text(encoding="utf-8") == "<!DOCTYPE html>雨"
    assert links == []


def test_a_page_is_linked_where_a_web_server_serves_it(tmp_path: Path, links) -> None:
    put_page(settings_of(tmp_path, url="https://reports.example.org/derain/"), page())
    assert links == [("https://reports.example.org/derain/one%20two.html", "Report", "report")]


def test_a_page_in_a_bucket_is_linked_by_a_presigned_url_if_that_is_asked_for(moto: str, links) -> None:
    assert put_page(settings_of(moto), page()) == f"{moto}/reports/one two.html"
    assert links == []
    put_page(settings_of(moto, presigned_hours=2), page())
    ((link, *_),) = links
    assert "Expires" in link
    assert httpx.get(link).text == "<!DOCTYPE html>雨"


def test_a_page_in_a_folder_has_no_presigned_url(tmp_path: Path, links) -> None:
    put_page(settings_of(tmp_path, presigned_hours=2), page())
    assert links == []


def test_an_address_that_no_browser_opens_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with https:// or http://"):
        ReportLinks(url="s3://bucket/reports")


def test_a_page_that_storage_refuses_is_not_linked(tmp_path: Path, links) -> None:
    def gone() -> str:
        raise ObjectNotFound("rows away")

    settings = settings_of(tmp_path, url="https://reports.example.org")
    assert put_page(settings, page(gone)) == "not written, rows away"
    assert not (tmp_path / "reports").exists()
    assert links == []
