"""The page of an ingest in a real browser loads, fits, requests nothing and runs no script."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser

from tasks.pool.report import render_ingest
from tests.support.servers.browser import chromium, with_a_script
from tests.support.worlds.ingest import new_world, scene

pytestmark = [pytest.mark.slow, pytest.mark.chromium]
HOSTILE = "<img src=x onerror='window.hacked=1'>\u202e.png"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("ingested")
    world = new_world(folder)
    world.put_cameras(4)
    world.put(HOSTILE, scene(99))
    world.put_bytes("x" * 200 + ".png", b"no image")
    summary = replace(world.ingest(), message="<script>window.hacked = 2</script>")
    path: Path = folder / "ingest.html"
    path.write_text(render_ingest(world.settings, summary), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.mark.parametrize("width", [320, 800, 1600])
def test_the_page_fits_every_width_and_stays_at_home(browser: Browser, address: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert all(page.evaluate("[...document.images].map(image => image.naturalWidth && image.clientWidth)"))
    assert page.evaluate("window.hacked") is None
    assert [url for url in asked if not url.startswith("data:")] == [address]
    assert complaints == []
    page.close()


def test_crops_and_rejects_are_listed(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    assert page.locator("h1").inner_text() == "5 crops ingested"
    assert page.locator(".message").inner_text() == "<script>window.hacked = 2</script>"
    crops = page.get_by_role("region", name="Some of the crops").locator(".key").all_inner_texts()
    assert len(crops) == 5
    assert "<img src=x onerror='window.hacked=1'>\\u202e.png" in crops
    reasons = page.get_by_role("region", name="Rejected images by reason").locator("tbody th")
    assert set(reasons.all_inner_texts()) >= {"flat", "near duplicate"}
    assert page.get_by_role("region", name="Some of the rejected images").locator("img").count() == 2
    page.close()


def test_rejects_link_their_photographs(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    rejects = page.get_by_role("region", name="Some of the rejected images").locator("figure")
    keys = [name.split("/")[-1] for name in rejects.locator(".key").all_inner_texts()]
    links = [link.get_attribute("href") for link in rejects.locator("a").all()]
    assert len(links) == rejects.count() > 2
    files = [Path(unquote(urlsplit(str(link)).path)) for link in links]
    assert [file.name for file in files] == keys
    assert all(file.is_file() for file in files)
    page.close()


def test_a_script_that_slipped_in_would_be_refused(browser: Browser, address: str, tmp_path: Path) -> None:
    page = browser.new_page()
    page.goto(with_a_script(address, tmp_path))
    assert page.evaluate("window.hacked") is None
    page.close()
