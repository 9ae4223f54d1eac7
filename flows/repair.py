"""The command that rebuilds a damaged catalog from its readable files and reports what was lost.

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
    """Rebuild the damaged tables of the workspace (DERAIN_WORKSPACE); intact tables and outputs are not touched."""
    try:
        report = repair(read_settings())
    except REFUSALS as error:
        sys.stderr.write(f"repair: {error}\n")
        raise typer.Exit(1) from error
    sys.stdout.write("\n".join(map(shown_line, report.lines())) + "\n")


if __name__ == "__main__":
    show_any_text()
    typer.run(main)
