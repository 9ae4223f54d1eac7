"""A report page in a browser, and its requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Locator
from playwright.sync_api import Page as BrowserPage


@dataclass
class Seen:
    """A page, and its requests and errors since it was opened."""

    page: BrowserPage
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def pair(self, index: int) -> Locator:
        return self.page.locator(".pair").nth(index)

    def slider(self, index: int) -> Locator:
        return self.pair(index).get_by_role("slider")

    def split(self, index: int) -> float:
        """Return the actual position of the line between rainy and derained, in per cent of the width."""
        script = "pair => getComputedStyle(pair.querySelector('.over')).clipPath"
        inset = self.pair(index).evaluate(script)  # "inset(0px 50% 0px 0px)"
        return 100 - float(inset.removeprefix("inset(").split()[1].removesuffix("%"))

    def place(self, index: int, value: int) -> None:
        script = "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')) }"
        self.slider(index).evaluate(script, value)

    def pixels(self, index: int) -> np.ndarray:
        shot = self.pair(index).screenshot(animations="disabled", caret="initial")
        return np.asarray(Image.open(BytesIO(shot)).convert("RGB")).astype(np.int16)


def watched(browser: Browser, address: str, **options: object) -> Iterator[Seen]:
    """Open the page; afterwards assert that it logged no errors and requested nothing from elsewhere."""
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
