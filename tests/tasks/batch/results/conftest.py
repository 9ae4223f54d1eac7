"""`opened`: a report page in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tasks.batch.report import render
from tests.support.samples.reports import report
from tests.support.servers.browser import chromium
from tests.support.servers.report_pages import Seen, watched


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    path: Path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(report(rejected_total=1234)), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def opened(browser, address) -> Iterator[Seen]:
    yield from watched(browser, address)
