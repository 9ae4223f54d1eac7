"""Publication of a page (`put_page`): it is stored in the workspace's reports, and linked if browsers open it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from infra.errors import STORAGE_ERRORS, one_line
from infra.settings import Settings
from infra.storage.location import open_location
from tasks.prefect_runs import report, run_log


@dataclass(frozen=True, slots=True)
class Page:
    """A page to be published."""

    name: str
    """File name of the page."""
    render: Callable[[], str]
    """Renders the page; may read from storage."""
    key: str
    """Key of the link artifact in Prefect."""
    link_text: str


def put_page(settings: Settings, page: Page) -> str:
    """Write a page to `<workspace>/reports` and link it in Prefect; return its URL, or why there is none."""
    folder = reports_folder(settings)
    url = f"{folder}/{page.name}"
    try:
        open_location(folder).put(page.name, page.render().encode())
    except Exception as error:  # noqa: BLE001 - a failed page must not fail the completed run
        if not isinstance(error, STORAGE_ERRORS):
            run_log().warning(f"{url} could not be written", exc_info=error)
        return f"not written, {one_line(error)}"
    report("the link to the page", lambda: _link(settings, page))
    return url


def link_of(settings: Settings, place: str) -> str | None:
    """Return the URL at which a browser opens the page that `put_page` reported; None if it wrote none."""
    is_written = place.startswith(f"{reports_folder(settings)}/")
    return page_link(settings, place.rpartition("/")[2]) if is_written else None


def reports_folder(settings: Settings) -> str:
    """Return the URL of the folder that holds all pages of a workspace."""
    return f"{settings.workspace}/reports"


def page_link(settings: Settings, name: str) -> str | None:
    """Return a URL at which other people's browsers can open a page; None unless a setting makes that possible.

    Browsers do not follow links from a page of Prefect to a file, and cannot open `s3://`.
    """
    if settings.reports.url is not None:
        return f"{settings.reports.url}/{quote(name)}"
    if settings.reports.presigned_hours is None:
        return None
    return open_location(reports_folder(settings)).presigned(name, 3600 * settings.reports.presigned_hours)


def _link(settings: Settings, page: Page) -> None:
    from prefect.artifacts import create_link_artifact  # imports Prefect only within its runs

    url = page_link(settings, page.name)
    if url is not None:
        create_link_artifact(url, link_text=page.link_text, key=page.key)
