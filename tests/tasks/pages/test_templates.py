from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from tasks.pages import templates
from tasks.pages.templates import page_template, visible

REVIEW = {"cards": [], "run_id": "run-1", "decided": 0, "scores": (), "no_rain": "no rain found"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("дождь/雨 🌧️.jpg", "дождь/雨 🌧️.jpg"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u200db", "a\u200db"),
        ("a\n\x00\udc80", "a\\n\\x00\\udc80"),
        ("a\\b", "a\\b"),
    ],
)
def test_invisible_characters_are_made_visible(text, shown):
    assert visible(text) == shown


@pytest.mark.parametrize("page", ["comparison.html", "ingest_report.html", "report.html", "review.html"])
def test_every_page_has_the_head_that_all_share(page):
    source = (Path(templates.__file__).parent / page).read_text()
    assert source.startswith('{% extends "base.html" %}')


def test_the_only_script_of_a_page_is_the_one_that_may_run():
    html = page_template("review.html").render(REVIEW)
    (script,) = re.findall("<script>(.*?)</script>", html, re.DOTALL)
    assert "localStorage" in script
    assert f"script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}';" in html
