"""`derain repair`, which rebuilds a damaged catalog without touching outputs."""

from __future__ import annotations

from flows.console.lines import say
from flows.running.flow_settings import command_settings


def repair() -> None:
    """Rebuild every damaged table of the workspace, and report what was lost; no output is touched."""
    from tasks.batch import repair as tables

    for line in tables.repair(command_settings()).lines():
        say(line)
