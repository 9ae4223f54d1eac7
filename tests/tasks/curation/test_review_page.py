"""The review page in a real browser can be used with keys alone, and saves a file that a curation reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from infra.limits import CurationLimits
from infra.settings import Settings
from tasks.curation.acceptance import NO_RAIN, TEMPORAL
from tasks.curation.decisions import Decision, read_decisions
from tasks.curation.review import Reviewed, doubt, render_review
from tasks.curation.score_words import SCORES
from tests.support.samples.photographs import photograph
from tests.support.servers.browser import chromium
from tests.support.servers.server_processes import wait_for
from tests.support.worlds.pools import ACCEPTED

HOSTILE = '<img src=x onerror="window.hacked=1">\u202e.png'


def reviewed(crop_id: str, image: str = "a/b.png") -> Reviewed:
    rainy = photograph("chelsea", 64)
    row = replace(
        ACCEPTED, crop_id=crop_id, decision="rejected", reason="low score", reason_details="<b>0.2</b>"
    )
    return Reviewed(row, image, rainy, rainy // 2, np.full((64, 64), 128, np.uint8))


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    path: Path = tmp_path_factory.mktemp("review") / "review.html"
    shown = [reviewed("x", HOSTILE), reviewed("y"), reviewed("z"), reviewed("w")]
    path.write_text(render_review(shown, "run-1", 17), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def status_after_reload(page: Page) -> str:
    page.reload()
    return page.get_by_role("status").inner_text()


@pytest.mark.slow
@pytest.mark.chromium
def test_keys_alone_decide_and_the_file_is_read_again(browser, address, tmp_path):
    page = browser.new_context(accept_downloads=True).new_page()
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    assert page.get_by_role("button", name="Save decisions").is_disabled()
    for key in (
        "a",
        "ArrowRight",
        "r",
        "ArrowLeft",
        "u",
        "R",
        "ArrowLeft",
        "ArrowLeft",
        "ArrowLeft",
        "r",
        "a",
    ):
        page.keyboard.press(key)
    # x accepted, then rejected; y skipped, then accepted; z rejected, undone, rejected again; w never looked at
    assert page.get_by_role("status").inner_text() == "3 of 4 reviewed"
    with page.expect_download() as download:
        page.keyboard.press("s")
    path = tmp_path / "decisions.json"
    download.value.save_as(path)
    assert download.value.suggested_filename == "decisions-run-1.json"
    assert json.loads(path.read_text())[0] == {"crop_id": "x", "judgement": "j", "decision": "reject"}
    assert read_decisions(str(path), {"x", "y", "z", "w"}) == [
        Decision("x", "j", "reject"),
        Decision("y", "j", "accept"),
        Decision("z", "j", "reject"),
    ]
    # The browser stores decisions asynchronously, so the first reload may come too early on a busy machine.
    wait_for(lambda: status_after_reload(page) == "3 of 4 reviewed", "the decisions are not read again")
    assert page.evaluate("window.hacked") is None
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [address] * 2
    assert complaints == []
    assert all(page.evaluate("[...document.images].map(image => image.naturalWidth === 64)"))


@pytest.mark.slow
@pytest.mark.chromium
def test_buttons_do_what_keys_do(browser, address):
    page = browser.new_context().new_page()
    page.goto(address)
    page.get_by_role("button", name="Reject").nth(2).click()
    page.get_by_role("button", name="Accept").nth(3).click()
    assert page.locator(".said").all_inner_texts() == ["not reviewed", "not reviewed", "rejected", "accepted"]
    assert page.get_by_role("button", name="Save decisions").is_enabled()


@pytest.mark.slow
@pytest.mark.chromium
def test_undo_takes_back_the_last_decisions_one_by_one_even_after_a_reload(browser, address):
    page = browser.new_context().new_page()
    page.goto(address)
    current = page.locator(".crop.current")
    for key in ("a", "a", "r"):
        page.keyboard.press(key)
    page.keyboard.press("u")
    assert page.locator(".said").all_inner_texts() == ["accepted", "accepted", "not reviewed", "not reviewed"]
    assert current.get_attribute("data-crop") == "z"
    page.reload()
    page.keyboard.press("r")  # on the first card, which was accepted
    page.keyboard.press("u")
    assert page.locator(".said").first.inner_text() == "accepted"
    for _ in range(3):  # one more than the number of decisions
        page.keyboard.press("u")
    assert page.get_by_role("status").inner_text() == "0 of 4 reviewed"
    assert current.get_attribute("data-crop") == "x"


def test_every_score_is_named_in_plain_words_and_explained():
    html = render_review([reviewed("x")], "run-1", 1)
    for score in SCORES:
        assert html.count(f"<dt>{score.words}</dt>") == 1
    assert "planted detail kept 90 %" in html
    assert not re.search(r"rain_recall|detail_kept|structure_leak|feature_distance|>score", html)


@pytest.mark.parametrize(("change", "factor"), [(5, "16"), (51, "5"), (0, "16"), (255, "1")])
def test_a_difference_is_stretched_until_its_brightest_parts_are_white(change, factor):
    shown = replace(reviewed("x"), rainy=np.full((64, 64, 3), change, np.uint8))
    html = render_review([replace(shown, pseudo_label=np.zeros((64, 64, 3), np.uint8))], "run-1", 1)
    assert f"Difference x {factor}: " in html


def test_crops_without_rain_come_last():
    settings = Settings(workspace="/nowhere", _env_file=None)
    without = replace(ACCEPTED, decision="rejected", reason=NO_RAIN, score=settings.curation.score)
    far = replace(ACCEPTED, score=1.0)
    assert doubt(without, settings) < doubt(replace(far, reviewer_decision="accept"), settings)
    assert doubt(without, settings) < doubt(far, settings)


def test_text_in_the_page_is_escaped():
    html = render_review([reviewed("x", HOSTILE)], "run-1", 1)
    assert "<img src=x" not in html
    assert "<b>0.2" not in html
    assert "\u202e" not in html


def test_the_nearer_to_the_limit_the_more_doubtful():
    settings = Settings(workspace="/nowhere", curation=CurationLimits(score=0.4, static=0.5), _env_file=None)
    rows = [
        replace(ACCEPTED, score=0.45),
        replace(ACCEPTED, score=0.6, rule=TEMPORAL),
        replace(ACCEPTED, score=0.2),
        replace(ACCEPTED, score=0.4, confident=0.0),
    ]
    doubts = [doubt(row, settings) for row in rows]
    assert doubts == sorted(doubts, reverse=True)
    assert doubt(replace(rows[0], reviewer_decision="accept"), settings) < doubts[2]
