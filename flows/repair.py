"""The command that rebuilds a damaged catalog from its readable files and reports what was lost.

python -m flows.repair
"""

from __future__ import annotations

import sys

from flows.running.flow_settings import command_settings
from flows.running.plain_command import run_plainly
from infra.shown import shown_line
from tasks.batch.repair import repair


def main() -> None:
    """Rebuild the damaged tables of the workspace (DERAIN_WORKSPACE); intact tables and outputs are not touched."""
    report = repair(command_settings())
    sys.stdout.write("\n".join(map(shown_line, report.lines())) + "\n")


if __name__ == "__main__":
    run_plainly("repair", main)
