"""The table of all images in the report, in a real browser."""

from __future__ import annotations

import pytest
from PIL import Image
from playwright.sync_api import Locator

from tasks.batch.report import render
from tasks.pages.templates import visible
from tests.support.samples.reports import HOSTILE_KEYS, record, report
from tests.support.servers.report_pages import Seen

pytestmark = [pytest.mark.slow, pytest.mark.chromium]


class TestTable:
    """Tests of the table with all images of the run."""

    @pytest.fixture
    def table(self, opened: Seen) -> Locator:
        return opened.page.get_by_role("region", name="All images")

    @staticmethod
    def names(table: Locator) -> list[str]:
        return table.locator("tbody th").all_inner_texts()

    def test_the_most_changed_come_first_and_the_rejected_last(self, table):
        names = self.names(table)
        assert len(names) == 50
        assert set(names[:4]) == {visible(key) for key in HOSTILE_KEYS[:4]}
        assert names[4] == "camera-2/frame-119.png"
        assert table.locator("output").inner_text() == f"1 to 50 of {120 + len(HOSTILE_KEYS)}"
        assert "rain removed: 24 %" in table.locator("tbody tr").nth(4).inner_text()

    def test_paging_shows_every_image_once(self, table):
        names = self.names(table)
        while table.get_by_role("button", name="Next").is_enabled():
            table.get_by_role("button", name="Next").click()
            names += self.names(table)
        assert len(names) == len(set(names)) == 120 + len(HOSTILE_KEYS)
        assert names[-1] in {visible(key) for key in HOSTILE_KEYS[4:]}
        table.get_by_role("button", name="Previous").click()
        assert table.locator("output").inner_text().startswith("51 to 100")

    def test_a_filter_finds_names_and_rejects(self, table):
        table.get_by_label("Filter").fill("camera-1 FRAME-00")
        assert self.names(table) == [f"camera-1/frame-{i:03}.png" for i in (7, 4, 1)]
        table.get_by_label("Filter").fill("rejected")
        assert len(self.names(table)) == len(HOSTILE_KEYS) - 4
        assert "rejected: truncated JPEG" in table.locator("tbody").inner_text()
        table.get_by_label("Filter").fill("nothing like it")
        assert table.locator("output").inner_text() == "none found"

    def test_orders_are_by_change_either_way_and_by_name(self, table):
        table.get_by_label("Order").select_option("least changed first")
        assert self.names(table)[:2] == ["camera-0/frame-000.png", "camera-1/frame-001.png"]
        table.get_by_label("Filter").fill("frame")
        table.get_by_label("Order").select_option("by name")
        assert self.names(table)[:2] == ["camera-0/frame-000.png", "camera-0/frame-003.png"]

    def test_outputs_in_a_bucket_have_no_links(self, table):
        assert table.locator("a, img").count() == 0

    def test_outputs_in_a_folder_are_linked_and_shown_when_they_come_into_view(self, browser, tmp_path):
        names = ["a b#c?.png", "second.png", *(f"more-{i}.png" for i in range(45)), "scan.tif"]
        for name in names:
            Image.new("RGB", (32, 24), "navy").save(tmp_path / name)
        rows = [record(name, rain_energy=(99 - i) / 200) for i, name in enumerate(names)]
        page_file = tmp_path / "report.html"
        page_file.write_text(render(report(images=rows, links=f"{tmp_path.as_uri()}/")), encoding="utf-8")
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_file.as_uri())
        assert page.locator("tbody img").count() == len(names) - 1  # browsers cannot open TIFF
        assert not any("more-44" in url for url in asked)
        first = page.locator("tbody tr", has_text="a b#c?.png")
        first.scroll_into_view_if_needed()
        decoded = "async image => { await image.decode(); return image.naturalWidth }"
        assert first.locator("img").evaluate(decoded) == 32
        first.locator("th a").click()
        page.wait_for_url((tmp_path / "a b#c?.png").as_uri())
        page.close()
