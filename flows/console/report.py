"""`derain report`, which opens the newest report of the workspace."""

from __future__ import annotations

import re
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from flows.console.arguments import ArgumentRefused
from flows.console.lines import say
from flows.running.flow_settings import command_settings
from infra.storage.location import existing, is_local, open_location

_DATED = re.compile(r"\d{8}T\d{6}-.*\.html")


def report(
    browser: Annotated[
        bool, typer.Option(help="Open it in the browser; otherwise only print its address.")
    ] = True,
) -> None:
    """Open the newest report of the workspace: before and after, all images, rejects."""
    url = newest_report(command_settings().workspace)
    say(url)
    if browser and url.startswith("file://"):
        webbrowser.open(url)


def newest_report(workspace: str) -> str:
    """Return the address of the newest report.

    Raises
    ------
    ArgumentRefused
        If the workspace has no report.
    """
    folder = f"{workspace}/reports"
    names = [ref.key for ref in existing(open_location(folder)) if _DATED.fullmatch(ref.key)]
    if not names:
        raise ArgumentRefused(f"{folder}: no report yet; a run over a folder writes one")
    url = f"{folder}/{max(names)}"
    return Path(url).as_uri() if is_local(url) else url
