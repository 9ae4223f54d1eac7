"""Commands that are not flows (`run_plainly`, `in_one_line`): an error or Ctrl-C ends one with a single line.

All commands start with `prepare_terminal` and a `typer_app`.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import typer

from flows.running.interrupts import INTERRUPTED, INTERRUPTED_LINE, raise_on_ctrl_c
from infra.errors import one_line
from infra.shown import guard_logs, shown_line
from infra.terminal import show_any_text
from tasks.refusals import REFUSALS


def run_plainly(name: str, command: Callable[..., None]) -> None:
    """Run a command from the command line, with its options taken from the signature.

    Parameters
    ----------
    name : str
        Name of the command; its error line begins with it.
    command : callable
        May raise one of `REFUSALS`.
    """
    prepare_terminal()
    app = typer_app()
    app.command()(in_one_line(name, command))
    app()


def prepare_terminal() -> None:
    """Prepare this process for a command: Ctrl-C raises, any text can be printed, logs are safe to show."""
    raise_on_ctrl_c()
    show_any_text()
    guard_logs()


def typer_app() -> typer.Typer:
    """Return an app without commands, whose help and errors are plain text."""
    return typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)


def in_one_line(name: str, command: Callable[..., None]) -> Callable[..., None]:
    """Turn an exception that ends a command early into one line and an exit code.

    The code is 130 after Ctrl-C, or else the `exit_code` of the exception, or else 1.
    """

    @functools.wraps(command)
    def guarded(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except REFUSALS as error:
            _write(f"{name}: {one_line(error)}")
            raise typer.Exit(getattr(error, "exit_code", 1)) from error
        except KeyboardInterrupt as error:
            _write(f"{name}: {INTERRUPTED_LINE}")
            raise typer.Exit(INTERRUPTED) from error

    return guarded


def _write(line: str) -> None:
    sys.stderr.write(shown_line(line) + "\n")
    sys.stderr.flush()
