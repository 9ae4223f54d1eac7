"""The entry point of `derain`: `run` finds the command and turns errors into one line and an exit code.

Exit codes are 0 for success, 1 for an error (reported in one line), 2 for wrong usage, and 130 after Ctrl-C.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn

from flows.console.derain import derain
from flows.console.networks import models
from flows.console.repair import repair
from flows.console.report import report
from flows.console.status import status
from flows.running.plain_command import in_one_line, prepare_terminal, typer_app

COMMANDS: dict[str, Callable[..., None]] = {
    "status": status,
    "models": models,
    "report": report,
    "repair": repair,
}
"""Commands by name; any other first word is a source. A folder with such a name is typed as ./status."""
EPILOG = "Other commands: " + ", ".join(f"derain {name}" for name in COMMANDS) + " (each with --help)."


def main() -> None:
    """Run the command that was typed in the shell, and exit."""
    prepare_terminal()
    signal.signal(signal.SIGTERM, _end)
    sys.exit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Run a command; return its exit code.

    Parameters
    ----------
    words : sequence of str
        Words that were typed after `derain`.
    """
    name = words[0] if words and words[0] in COMMANDS else None
    command, rest = (COMMANDS[name], words[1:]) if name else (derain, words)
    app = typer_app()
    app.command(epilog=None if name else EPILOG)(in_one_line("derain", command))
    try:
        app(list(rest), prog_name=f"derain {name}" if name else "derain")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """Exit on SIGTERM as on Ctrl-C: finished work is recorded on the way out."""
    sys.exit(128 + number)
