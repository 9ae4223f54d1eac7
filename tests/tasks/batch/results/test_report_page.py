"""The report in a real browser: its display and controls, and no request to other addresses."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import Locator

from tasks.pages.templates import visible
from tests.support.samples.reports import HOSTILE_KEYS, summary
from tests.support.servers.browser import with_a_script
from tests.support.servers.report_pages import watched

pytestmark = [pytest.mark.slow, pytest.mark.chromium]


@pytest.fixture(params=["light", "dark"])
def scheme(request) -> str:
    return request.param


def test_every_picture_loads(opened):
    sizes = opened.page.evaluate(
        "Promise.all([...document.images].map(async image => {"
        "  await image.decode(); return [image.naturalWidth, image.naturalHeight, image.clientWidth] }))"
    )
    assert len(sizes) == 2 * (5 + 4)
    assert all(min(size) > 0 for size in sizes)
    assert sizes[2] == sizes[3]  # the two sides of a pair cover each other
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
    assert passed.mean() > 0.05  # the rain is visible
    assert not changed[:, : round(0.25 * width)].any()
    assert not changed[:, round(0.76 * width) :].any()


def test_the_rainy_side_is_left_of_the_line(opened):
    opened.place(1, 0)
    derained = opened.pixels(1)
    opened.place(1, 100)
    added = (opened.pixels(1) - derained)[: derained.shape[0] // 3, 10:-10]  # above handle and labels
    assert added.mean() > 5  # streaks are bright
    assert np.percentile(added, 5) > -12  # and only JPEG artefacts are darker


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
    assert page.locator("[aria-valuetext]").count() == 9  # the page's own script ran
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
    """Return the colours of a text and of the nearest painted background behind it."""
    texts = element.evaluate(
        "element => { const ink = getComputedStyle(element).color; let paper = 'rgba(0, 0, 0, 0)';"
        " for (; paper === 'rgba(0, 0, 0, 0)'; element = element.parentElement)"
        "   paper = getComputedStyle(element).backgroundColor;"
        " return [ink, paper] }"
    )
    return [tuple(int(part) for part in text[4:-1].split(",")) for text in texts]


def luminance(colour: tuple[int, ...]) -> float:
    """Return the relative luminance, as the WCAG contrast ratio defines it."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
