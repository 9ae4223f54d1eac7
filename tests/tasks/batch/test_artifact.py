"""The page of a run in Prefect: its content, and that no key or reason changes its markup."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import replace
from io import BytesIO

import pytest
from markdown_it import MarkdownIt
from PIL import Image

from infra.storage.listing import LeftOut
from models.packed import ModelFile
from tasks.batch.artifact import PICTURE_SIDE, run_markdown
from tasks.batch.planning.made_by import MadeBy
from tasks.batch.report import Report, render
from tasks.batch.summary import Counts
from tasks.resolved_model import ResolvedModel
from tests.support.samples.reports import HOSTILE_KEYS, photographs, sample, summary

PLACE = "s3://traffic/derain/reports/1.html"
SAMPLES = [sample(f"camera/{number}.png", picture) for number, picture in enumerate(photographs()[:4])]


def test_it_has_the_figures_and_the_place_of_the_report() -> None:
    text = run_markdown(summary(), [], PLACE, None)
    assert "| derained | 86 |" in text
    assert "| pending | 0 |" in text
    assert f"Report: `{PLACE}`" in text
    assert "](" not in text


def test_report_artifact_and_last_line_count_what_earlier_runs_rejected_in_the_same_words() -> None:
    counts = Counts(20, 0, 12, 8, 0, 0, rejected_before={"truncated JPEG": 2}, left_out=LeftOut())
    run = summary(counts)
    artifact = run_markdown(run, [], PLACE, None)
    page = render(Report(run, worst=[], random=[], rejected=[], rejected_total=0))
    assert "| done before | 10 |" in artifact
    assert "| rejected before | 2 |" in artifact
    for shown in (run.line(), page):
        assert "10 done before, 2 rejected before (2 truncated JPEG)" in shown


def test_the_model_has_one_name_wherever_it_is_shown() -> None:
    run = summary()
    shown = [
        run_markdown(run, [], PLACE, None).replace("\\", ""),
        render(Report(run, worst=[], random=[], rejected=[], rejected_total=0)),
        ResolvedModel(ModelFile(b"", b""), run.model_name, run.model_version).label,
        MadeBy(run.model_name, run.model_version, run.model_digest, 1).label,
        run.model_label,
    ]
    assert all("derain-student/3" in text for text in shown)


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
def test_text_from_outside_stays_text(key: str) -> None:
    failed = replace(summary(), state="Failed", message=key)
    counts = replace(failed.counts, rejected_for={key: 1})
    text = run_markdown(replace(failed, counts=counts), [sample(key, photographs()[0])], PLACE + key, None)
    html = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(text)
    assert set(re.findall(r"<(\w+)", html)) <= {
        *("p", "strong", "em", "table", "thead", "tbody", "tr", "th", "td", "code", "img")
    }
    assert html.count("<img") == 1
