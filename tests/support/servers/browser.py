"""Headless Chromium, if it is installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

FLAGS = (
    "--no-sandbox",  # tests may run as root in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium; if it is not installed, skip the test, or fail if all tests must run."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        reason = "Chromium is not installed (Debian: apt-get install chromium)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


def with_a_script(address: str, folder: Path) -> str:
    """Copy a page, inject a foreign script into it, and return the address of the copy."""
    html = Path(address.removeprefix("file://")).read_text(encoding="utf-8")
    path = folder / "slipped.html"
    path.write_text(html.replace("<main>", "<main><script>window.hacked = 1</script>"), encoding="utf-8")
    return path.as_uri()
