"""Rebuild a damaged catalog from what can be read of it, and say what was lost; no output is touched.

python -m flows.repair
"""

from __future__ import annotations

import sys

import typer

from infra.settings import read_settings
from infra.shown import shown_line
from infra.terminal import show_any_text
from tasks.batch.repair import repair
from tasks.refusals import REFUSALS


def main() -> None:
    """Rebuild every damaged table of the workspace (DERAIN_WORKSPACE); what is in order is left alone."""
    try:
        report = repair(read_settings())
    except REFUSALS as error:
        sys.stderr.write(f"repair: {error}\n")
        raise typer.Exit(1) from error
    sys.stdout.write("\n".join(map(shown_line, report.lines())) + "\n")


if __name__ == "__main__":
    show_any_text()
    typer.run(main)
