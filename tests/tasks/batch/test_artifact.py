"""The page of a run in Prefect: what it shows, and that no key or reason changes its markup."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import replace
from io import BytesIO

import pytest
from markdown_it import MarkdownIt
from PIL import Image

from tasks.batch.artifact import PICTURE_SIDE, run_markdown
from tasks.batch.summary import Counts
from tests.support.samples.reports import HOSTILE_KEYS, photographs, sample, summary

PLACE = "s3://traffic/derain/reports/1.html"
SAMPLES = [sample(f"camera/{number}.png", picture) for number, picture in enumerate(photographs()[:4])]


def test_it_has_the_figures_and_the_place_of_the_report() -> None:
    text = run_markdown(summary(), [], PLACE, None)
    assert "| derained | 86 |" in text
    assert "| pending | 0 |" in text
    assert f"Report: `{PLACE}`" in text
    assert "](" not in text


def test_it_links_the_report_where_a_browser_can_open_it() -> None:
    link = "https://reports.example.org/1.html"
    assert f"`{PLACE}` ([open]({link}))" in run_markdown(summary(), [], PLACE, link)


def test_rejects_are_counted_by_reason() -> None:
    many = {f"reason {number:02}": 1 for number in range(15)}
    counts = Counts(20, 0, 0, 0, 20, 0, rejected_for={"truncated JPEG": 5, **many})
    text = run_markdown(summary(counts), [], PLACE, None)
    assert text.index("| truncated JPEG | 5 |") < text.index("| reason 00 | 1 |")
    assert "| other reasons | 6 |" in text
    assert "reason 10" not in text


def test_three_small_pictures_show_before_and_after() -> None:
    text = run_markdown(summary(), SAMPLES, PLACE, None)
    pictures = re.findall(r"!\[before and after\]\(data:image/jpeg;base64,([^)]+)\)", text)
    assert len(pictures) == 3
    for each in pictures:
        width, height = Image.open(BytesIO(b64decode(each))).size
        assert width == 2 * PICTURE_SIDE
        assert height <= PICTURE_SIDE
    assert len(text) < 400_000


@pytest.mark.parametrize("key", HOSTILE_KEYS)
def test_what_is_put_into_it_stays_text(key: str) -> None:
    failed = replace(summary(), state="Failed", message=key)
    counts = replace(failed.counts, rejected_for={key: 1})
    text = run_markdown(replace(failed, counts=counts), [sample(key, photographs()[0])], PLACE + key, None)
    html = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(text)
    assert set(re.findall(r"<(\w+)", html)) <= {
        *("p", "strong", "em", "table", "thead", "tbody", "tr", "th", "td", "code", "img")
    }
    assert html.count("<img") == 1
