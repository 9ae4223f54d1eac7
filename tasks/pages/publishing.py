"""Publication of a page (`put_page`): stored in the workspace's reports and linked from its run in Prefect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infra.errors import STORAGE_ERRORS, one_line
from infra.storage.location import is_local, open_location
from tasks.prefect_runs import report, run_log


@dataclass(frozen=True, slots=True)
class Page:
    """A page to be published."""

    name: str
    """File name of the page."""
    render: Callable[[], str]
    """Renders the page; may read the storage."""
    key: str
    """Key of the link artifact in Prefect."""
    link_text: str


def put_page(workspace: str, page: Page) -> str:
    """Write a page to `<workspace>/reports` and link it; return its URL, or why there is none."""
    folder = f"{workspace}/reports"
    url = f"{folder}/{page.name}"
    try:
        open_location(folder).put(page.name, page.render().encode())
    except Exception as error:  # noqa: BLE001 - a failed page must not fail the completed run
        if not isinstance(error, STORAGE_ERRORS):
            run_log().warning(f"{url} could not be made", exc_info=error)
        return f"not written, {one_line(error)}"
    report("the link to the page", lambda: _link(page, Path(url).as_uri() if is_local(url) else url))
    return url


def _link(page: Page, url: str) -> None:
    from prefect.artifacts import create_link_artifact  # imports Prefect only within its runs

    create_link_artifact(url, link_text=page.link_text, key=page.key)
