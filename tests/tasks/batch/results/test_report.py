from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tasks.batch.planning.made_by import MadeBy
from tasks.batch.report import MOST_REJECTED, MOST_SAMPLES, Report, render
from tasks.batch.summary import Counts
from tasks.pages.templates import visible
from tests.support.samples.reports import HOSTILE_KEYS, record, reject, report, sample, summary


class Page(HTMLParser):
    """The parsed page: tags with their attributes, and the text of each section."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.section, self.texts = "head", {"head": ""}
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("section", "footer"):
            self.section = dict(attrs).get("id", tag)
            self.texts[self.section] = ""

    def handle_data(self, data):
        self.texts[self.section] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def pictures(self) -> list[Image.Image]:
        sources = [image["src"].removeprefix("data:image/jpeg;base64,") for image in self.all("img")]
        return [Image.open(BytesIO(b64decode(source))) for source in sources]


@pytest.fixture
def plain() -> Report:
    return report(worst=[], random=[], rejected=[], rejected_total=0, images=[])


def grey(key: str, height: int = 16, width: int = 24, level: int = 128):
    return sample(key, np.full((height, width, 3), level, np.uint8))


def test_the_head_describes_the_run(plain):
    texts = Page(render(plain)).texts
    text = texts["head"] + texts["footer"]
    run = plain.summary
    assert "86 images derained" in text
    assert "100 listed, 10 done before" in text
    assert re.search(r"41 s.*2\.1.*3\.4", text, re.DOTALL)
    assert "derain-student/3" in text
    assert "2026-03-14 09:26:53 UTC" in text
    for fact in (run.scope.source, run.scope.destination, run.scope.export, run.model_digest, run.run_id):
        assert fact in text
    assert "Completed" in text
    assert "Failed" not in text


def test_the_head_says_which_models_made_what_was_done_before(plain):
    made = (MadeBy("derain-student", "2", "d" * 64, 9_000), MadeBy("tiny", "file", "f" * 64, 1))
    text = Page(render(replace(plain, summary=summary(made_before=made)))).texts["head"]
    assert "derain-student/2: 9,000, tiny (ffffffff): 1" in text
    assert "Done before by" not in Page(render(plain)).texts["head"]


def test_a_failed_run_says_why(plain):
    failed = summary(state="Failed", message="7 images pending: s3://traffic is <unreachable>")
    page = Page(render(replace(plain, summary=failed)))
    assert "Failed. 7 images pending: s3://traffic is <unreachable>" in page.texts["head"]


def test_one_image_is_singular(plain):
    one = summary(Counts(listed=1, skipped=0, done_before=0, derained=1, rejected=0, pending=0))
    assert "1 image derained" in render(replace(plain, summary=one))


def test_times_are_shown_in_utc(plain):
    started = datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=2)))
    assert "2025-12-31 22:30:00 UTC" in render(replace(plain, summary=summary(started_at=started)))


def test_samples_keep_their_order_and_facts(plain):
    html = render(replace(plain, worst=[grey("b.jpg"), grey("a.jpg", 30, 20)], random=[grey("c.jpg")]))
    page = Page(html)
    alts = ["b.jpg", "a.jpg", "c.jpg"]
    assert [image["alt"] for image in page.all("img")] == [
        f"{side}: {key}" for key in alts for side in ("Derained", "Rainy")
    ]
    assert "24 \u00d7 16 px" in page.texts["worst"]
    assert "20 \u00d7 30 px" in page.texts["worst"]
    assert re.search(r"rain removed: \d+(\.\d)? % of the photograph's energy", page.texts["random"])


def test_pictures_are_those_of_the_sample(plain):
    base = grey("a.jpg", 64, 48, level=40)
    bright = np.full((64, 48, 3), 200, np.uint8)
    derained, rainy = Page(render(replace(plain, worst=[replace(base, rainy=bright)]))).pictures()
    assert (rainy.size, derained.size) == ((48, 64), (48, 64))
    assert abs(np.asarray(rainy).mean() - 200) < 2
    assert abs(np.asarray(derained).mean() - 40) < 2


def test_a_large_picture_is_shrunk_and_its_size_shown(plain):
    page = Page(render(replace(plain, worst=[grey("a.jpg", 600, 2400)])))
    assert [picture.size for picture in page.pictures()] == [(960, 240)] * 2
    assert "2,400 \u00d7 600 px" in page.texts["worst"]


def test_samples_are_bounded_and_shown_once(plain):
    worst = [grey(f"{i}.jpg") for i in range(MOST_SAMPLES + 3)]
    page = Page(render(replace(plain, worst=worst, random=[worst[0], *[grey(f"r{i}") for i in range(20)]])))
    keys = [image["alt"] for image in page.all("img")]
    assert len(keys) == len(set(keys)) == 4 * MOST_SAMPLES


def test_no_empty_sections(plain):
    page = Page(render(plain))
    assert set(page.texts) == {"head", "rejected", "footer"}
    assert "No image was rejected." in page.texts["rejected"]
    only_worst = Page(render(replace(plain, worst=[grey("a.jpg")], random=[grey("a.jpg")])))
    assert "random" not in only_worst.texts


def test_rejects_are_listed_with_reasons(plain):
    rows = [reject("a.jpg", "zero bytes"), reject("b.jpg", "HTML, not an image")]
    page = Page(render(replace(plain, rejected=rows, rejected_total=2)))
    assert re.search(r"a\.jpg\s*zero bytes\s*b\.jpg\s*HTML, not an image", page.texts["rejected"])
    assert "flows.status" not in page.texts["rejected"]


def test_cut_rejects_say_how_many_more(plain):
    rows = [reject(f"{i}.jpg") for i in range(MOST_REJECTED + 5)]
    page = Page(render(replace(plain, rejected=rows, rejected_total=12_345)))
    assert len(page.all("tr")) == MOST_REJECTED + 1
    assert f"and {12_345 - MOST_REJECTED:,} more: filter the table above" in page.texts["rejected"]


@pytest.mark.parametrize("key", HOSTILE_KEYS)
def test_hostile_keys_are_text_everywhere(plain, key):
    harmless = replace(plain, worst=[grey("a.jpg")], rejected=[reject("a.jpg")], rejected_total=1)
    hostile = replace(plain, worst=[grey(key)], rejected=[reject(key, reason=key)], rejected_total=1)
    page, other = Page(render(hostile)), Page(render(harmless))
    assert [(tag, sorted(attrs)) for tag, attrs in page.tags] == [(t, sorted(a)) for t, a in other.tags]
    assert page.texts["worst"].count(visible(key)) == 1
    assert page.texts["rejected"].count(visible(key)) == 2
    assert page.all("img")[0]["alt"] == "Derained: " + visible(key)


def test_the_page_is_always_utf8_and_names_no_other_address():
    html = render(report())
    html.encode("utf-8")
    page = Page(html)
    addresses = [value for _, attrs in page.tags for name, value in attrs.items() if name in ("href", "src")]
    assert len(addresses) > 16
    assert all(address.startswith("data:") for address in addresses)
    assert "url(" not in html


def test_hostile_settings_are_text_too(plain):
    hostile = "<script>window.hacked = 1</script>"
    named = summary(message=hostile, model_name=hostile, run_id=hostile)
    assert len(Page(render(replace(plain, summary=named))).all("script")) == 1


def test_rain_removed_is_a_share_of_the_brightness_in_words(plain):
    def words(energy: float) -> str:
        row = record("a.jpg", rain_energy=energy, brightness=0.5)
        return Page(render(replace(plain, worst=[replace(grey("a.jpg"), record=row)]))).texts["worst"]

    assert "rain removed: 4 % of the photograph's energy" in words(0.02)
    assert "rain removed: 0.4 % of the photograph's energy" in words(0.002)
    assert "rain removed: 100 % of the photograph's energy" in words(0.6)


def test_rain_energy_may_be_unknown(plain):
    odd = replace(grey("a.jpg"), record=record("a.jpg", rain_energy=None))
    assert "rain removed: unknown" in render(replace(plain, worst=[odd]))
