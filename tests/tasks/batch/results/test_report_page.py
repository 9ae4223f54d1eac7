"""The report in a real browser: what a reader sees and can do, and that nothing leaves the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator
from playwright.sync_api import Page as BrowserPage

from tasks.batch.report import render
from tasks.pages.templates import visible
from tests.support.samples.reports import HOSTILE_KEYS, record, report, summary
from tests.support.servers.browser import chromium, with_a_script

pytestmark = [pytest.mark.slow, pytest.mark.chromium]


@dataclass
class Seen:
    """A page, and what it asked for or complained about since it opened."""

    page: BrowserPage
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def pair(self, index: int) -> Locator:
        return self.page.locator(".pair").nth(index)

    def slider(self, index: int) -> Locator:
        return self.pair(index).get_by_role("slider")

    def split(self, index: int) -> float:
        """Tell where the line between rainy and derained really is, in per cent of the width."""
        script = "pair => getComputedStyle(pair.querySelector('.over')).clipPath"
        inset = self.pair(index).evaluate(script)  # "inset(0px 50% 0px 0px)"
        return 100 - float(inset.removeprefix("inset(").split()[1].removesuffix("%"))

    def place(self, index: int, value: int) -> None:
        script = "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')) }"
        self.slider(index).evaluate(script, value)

    def pixels(self, index: int) -> np.ndarray:
        shot = self.pair(index).screenshot(animations="disabled", caret="initial")
        return np.asarray(Image.open(BytesIO(shot)).convert("RGB")).astype(np.int16)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    path: Path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(report(rejected_total=1234)), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(params=["light", "dark"])
def scheme(request) -> str:
    return request.param


@pytest.fixture
def opened(browser, address) -> Iterator[Seen]:
    yield from watched(browser, address)


def watched(browser: Browser, address: str, **options: object) -> Iterator[Seen]:
    """Open the page, and afterwards insist that it stayed quiet and at home."""
    context = browser.new_context(**options)
    seen = Seen(context.new_page())
    seen.page.on("request", lambda request: seen.requests.append(request.url))
    seen.page.on("console", lambda message: seen.complaints.append(message.text))
    seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    seen.page.goto(address)
    yield seen
    assert [url for url in seen.requests if not url.startswith("data:")] == [address]
    assert seen.complaints == []
    assert seen.page.evaluate("window.hacked") is None
    context.close()


def test_every_picture_loads(opened):
    sizes = opened.page.evaluate(
        "Promise.all([...document.images].map(async image => {"
        "  await image.decode(); return [image.naturalWidth, image.naturalHeight, image.clientWidth] }))"
    )
    assert len(sizes) == 2 * (5 + 4)
    assert all(min(size) > 0 for size in sizes)
    assert sizes[2] == sizes[3]  # the two sides of a pair lie on each other
    assert sizes[2][:2] == [600, 400]


def test_arrow_keys_move_the_line(opened):
    opened.page.locator("body").focus()
    opened.page.keyboard.press("Tab")
    assert opened.slider(0).evaluate("slider => slider === document.activeElement")
    assert opened.split(0) == 50
    for _ in range(10):
        opened.page.keyboard.press("ArrowRight")
    assert opened.split(0) == pytest.approx(60)
    opened.page.keyboard.press("ArrowLeft")
    assert opened.split(0) == pytest.approx(59)
    assert opened.slider(0).get_attribute("aria-valuetext") == "59 % rainy"
    opened.page.keyboard.press("Home")
    assert opened.split(0) == 0
    opened.page.keyboard.press("End")
    assert opened.split(0) == 100
    assert opened.split(1) == 50


@pytest.mark.parametrize("index", [0, 1, 4])
def test_the_line_follows_the_mouse(opened, index):
    opened.pair(index).scroll_into_view_if_needed()
    box = opened.pair(index).bounding_box()
    middle = box["y"] + box["height"] / 3
    opened.page.mouse.click(box["x"] + 0.25 * box["width"], middle)
    assert opened.split(index) == pytest.approx(25, abs=1)
    opened.page.mouse.down()
    for place in (0.4, 0.6, 0.9):
        opened.page.mouse.move(box["x"] + place * box["width"], middle)
        assert opened.split(index) == pytest.approx(100 * place, abs=1)
    opened.page.mouse.up()
    opened.page.mouse.move(box["x"], middle)
    assert opened.split(index) == pytest.approx(90, abs=1)


def test_the_picture_changes_only_where_the_line_passed(opened):
    opened.place(1, 30)
    before = opened.pixels(1)
    opened.place(1, 70)
    changed = np.abs(opened.pixels(1) - before).max(axis=2) > 24
    width = changed.shape[1]
    passed = changed[: changed.shape[0] // 3, round(0.35 * width) : round(0.65 * width)]
    assert passed.mean() > 0.05  # the streaks came
    assert not changed[:, : round(0.25 * width)].any()
    assert not changed[:, round(0.76 * width) :].any()


def test_the_rainy_side_is_left_of_the_line(opened):
    opened.place(1, 0)
    derained = opened.pixels(1)
    opened.place(1, 100)
    added = (opened.pixels(1) - derained)[: derained.shape[0] // 3, 10:-10]  # above handle and labels
    assert added.mean() > 5  # streaks are bright
    assert np.percentile(added, 5) > -12  # and take nothing away but what JPEG does


def test_worst_and_random_samples_are_listed(opened):
    worst = opened.page.get_by_role("region", name="Most changed").locator("figcaption")
    assert worst.count() == 5
    assert "camera-0/frame 0.png" in worst.nth(0).inner_text()
    assert "512 \u00d7 512 px" in worst.nth(0).inner_text()
    random = opened.page.get_by_role("region", name="Random sample").locator("figcaption .key")
    assert random.all_inner_texts() == [visible(key) for key in HOSTILE_KEYS[:4]]


def test_rejects_are_listed_with_reasons(opened):
    region = opened.page.get_by_role("region", name="Rejected")
    assert [text.inner_text() for text in region.locator("tbody .key").all()] == [*map(visible, HOSTILE_KEYS)]
    assert set(region.locator("td").all_inner_texts()) == {"truncated JPEG"}
    assert f"and {1234 - len(HOSTILE_KEYS):,} more: filter the table above" in region.inner_text()


def test_only_our_script_runs(opened):
    assert opened.page.locator("script:not([type])").count() == 1
    assert opened.page.locator("img").count() == 18
    assert opened.page.locator("[onerror]").count() == 0


def test_a_script_that_slipped_in_would_be_refused(browser, address, tmp_path):
    page = browser.new_page()
    page.goto(with_a_script(address, tmp_path))
    assert page.evaluate("window.hacked") is None
    assert page.locator("[aria-valuetext]").count() == 9  # ours did run
    page.close()


def test_enlarging_shows_the_whole_picture_larger(opened):
    before = opened.pair(4).bounding_box()  # a portrait
    button = opened.page.get_by_role("button", name="Enlarge camera-4/frame 4.png")
    button.click()
    after = opened.pair(4).bounding_box()
    assert button.get_attribute("aria-pressed") == "true"
    assert after["width"] > 1.1 * before["width"]
    assert after["height"] <= opened.page.viewport_size["height"] + 1
    button.click()
    assert opened.pair(4).bounding_box()["width"] == before["width"]


def test_a_portrait_is_shown_as_large_as_a_landscape(opened):
    landscape, portrait = (opened.pair(index).bounding_box() for index in (1, 4))
    area = [box["width"] * box["height"] for box in (landscape, portrait)]
    assert area[1] > 0.75 * area[0]
    assert portrait["height"] == pytest.approx(landscape["width"], rel=0.1)


def test_labels_leave_the_picture_under_the_pointer(opened):
    tag = opened.pair(1).locator(".tag.left")
    assert tag.evaluate("tag => getComputedStyle(tag).opacity") == "1"
    opened.pair(1).hover()
    tag.evaluate("async tag => await Promise.all(tag.getAnimations().map(each => each.finished))")
    assert tag.evaluate("tag => getComputedStyle(tag).opacity") == "0"


def test_ids_stand_at_the_foot(opened):
    assert summary().run_id in opened.page.locator("footer").inner_text()
    assert summary().run_id not in opened.page.locator("header").inner_text()


class TestTable:
    """All images of the run."""

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
        assert page.locator("tbody img").count() == len(names) - 1  # browsers open no TIFF
        assert not any("more-44" in url for url in asked)
        first = page.locator("tbody tr", has_text="a b#c?.png")
        first.scroll_into_view_if_needed()
        decoded = "async image => { await image.decode(); return image.naturalWidth }"
        assert first.locator("img").evaluate(decoded) == 32
        first.locator("th a").click()
        page.wait_for_url((tmp_path / "a b#c?.png").as_uri())
        page.close()


@pytest.mark.parametrize("width", [320, 390, 800, 1600])
def test_the_page_fits_every_width(browser, address, width):
    for seen in watched(browser, address, viewport={"width": width, "height": 800}):
        assert seen.page.evaluate("document.documentElement.scrollWidth") == width
        box = seen.pair(1).bounding_box()
        assert box["width"] / box["height"] == pytest.approx(1.5, rel=0.02)
        assert box["width"] >= min(width - 50, 250)


def test_a_thumb_moves_the_line_on_a_phone(browser, address):
    for seen in watched(
        browser, address, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True
    ):
        seen.pair(0).scroll_into_view_if_needed()
        box = seen.pair(0).bounding_box()
        seen.page.touchscreen.tap(box["x"] + 0.8 * box["width"], box["y"] + 0.4 * box["height"])
        assert seen.split(0) == pytest.approx(80, abs=2)


def test_text_is_legible_in_both_schemes(browser, address, scheme):
    for seen in watched(browser, address, color_scheme=scheme):
        for selector in ("h1", ".eyebrow", ".state", ".tile.bad dd", ".facts", "td", "footer"):
            ink, paper = (luminance(colour) for colour in colours(seen.page.locator(selector).first))
            assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) >= 4.5, selector
            assert (ink > paper) == (scheme == "dark"), selector


def colours(element: Locator) -> list[tuple[int, ...]]:
    """Read the colour of a text and that of the nearest painted background behind it."""
    texts = element.evaluate(
        "element => { const ink = getComputedStyle(element).color; let paper = 'rgba(0, 0, 0, 0)';"
        " for (; paper === 'rgba(0, 0, 0, 0)'; element = element.parentElement)"
        "   paper = getComputedStyle(element).backgroundColor;"
        " return [ink, paper] }"
    )
    return [tuple(int(part) for part in text[4:-1].split(",")) for text in texts]


def luminance(colour: tuple[int, ...]) -> float:
    """Relative luminance as the WCAG contrast ratio takes it."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
