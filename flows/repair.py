"""The command that rebuilds a damaged catalog from its readable files and reports what was lost.

python -m flows.repair
"""

from __future__ import annotations

from flows.console.repair import repair
from flows.running.plain_command import run_plainly

if __name__ == "__main__":
    run_plainly("repair", repair)
