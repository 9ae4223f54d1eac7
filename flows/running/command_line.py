"""Flows as commands: `run` takes options and help from a flow's signature and docstring, and sets an exit code."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Annotated, Any, NoReturn, get_type_hints

import psutil
import typer
from docstring_parser import Docstring, DocstringStyle, parse
from prefect import Flow, State
from pydantic import TypeAdapter, ValidationError

from flows.running.interrupts import INTERRUPTED, INTERRUPTED_LINE, is_interrupt, quiet_engines
from flows.running.plain_command import prepare_terminal, typer_app
from flows.running.prefect_server import PrefectServerRefused, answers, prefect_server
from flows.running.watched_flow import WatchedFlow
from infra.errors import one_line
from infra.settings import read_settings
from infra.shown import shown_line
from tasks.refusals import REFUSALS

Refusal = Callable[..., None]
Around = Callable[[dict[str, Any]], AbstractContextManager[object]]


def run(flow: Flow[Any, Any], refuse: Refusal | None = None, around: Around = nullcontext) -> None:
    """Run a flow from the command line.

    The exit code is 0 if the flow completes, 1 (with one line) if it does not, 2 for usage errors, and 130 after
    Ctrl-C. `--help` explains every parameter in the words of the docstring's `Args`.

    Parameters
    ----------
    flow : Flow
        A flow whose parameters all have defaults.
    refuse : callable, optional
        Takes the settings and the flow's parameters, and raises one of `REFUSALS` for faults that can be found
        without a server.
    around : callable, optional
        Takes the flow's parameters, and returns a context in which settings are read, faults are found and the flow
        runs.
    """
    prepare_terminal()
    logging.getLogger("prefect").addFilter(_is_above_info)
    quiet_engines()
    logging.getLogger("prefect.flow_runs").addFilter(functools.partial(_is_not_ending, flow.name))
    command_of(flow, refuse, around)()


def command_of(
    flow: Flow[Any, Any], refuse: Refusal | None = None, around: Around = nullcontext
) -> typer.Typer:
    """Return the command that `run` runs.

    Parameters
    ----------
    flow : Flow
        A flow whose parameters all have defaults.
    refuse, around : callable, optional
        See `run`.
    """
    app = typer_app()
    app.command()(_command(flow, refuse, around))
    return app


def _is_above_info(record: logging.LogRecord) -> bool:
    """Suppress reports of a temporary server's start and stop; lines of flow and task runs have other loggers."""
    return record.levelno > logging.INFO


def _is_not_ending(name: str, record: logging.LogRecord) -> bool:
    """Suppress Prefect's report of how a flow ended, which is the line that the command writes itself."""
    is_ending = record.module == "flow_engine" and record.getMessage().startswith("Finished in state ")
    return not (is_ending and getattr(record, "flow_name", None) == name)


def _command(flow: Flow[Any, Any], refuse: Refusal | None, around: Around) -> Callable[..., None]:
    function = inspect.unwrap(flow.fn)
    hints = get_type_hints(function, include_extras=True)

    def command(**parameters: Any) -> None:
        _refuse_bad_values(hints, parameters)
        try:
            with around(parameters):
                _refuse_at_once(refuse, parameters)
                state = _final_state(flow, parameters)
        except (*REFUSALS, PrefectServerRefused) as error:
            _fail(flow, one_line(error))
        except KeyboardInterrupt:
            _end_at_once(flow)
        if state.is_cancelled():
            _end_at_once(flow)
        code = _conclude(flow, state)
        if code:
            raise typer.Exit(code)

    docstring = parse(function.__doc__ or "", DocstringStyle.GOOGLE)
    command.__doc__ = docstring.description
    command.__signature__ = _options(function, docstring)  # type: ignore[attr-defined]
    return command


def _refuse_at_once(refuse: Refusal | None, parameters: dict[str, Any]) -> None:
    settings = read_settings()
    # A credentials block is read from a server; the run itself then refuses the same.
    if refuse is not None and settings.aws_credentials_block is None:
        refuse(settings, **parameters)


def _final_state(flow: Flow[Any, Any], parameters: dict[str, Any]) -> State[Any]:
    """Run a flow and return its final state, even if Prefect's server disappeared before it could be reported."""
    watched = WatchedFlow(flow, functools.partial(_end_unless_answered, flow))
    try:
        with prefect_server():
            return watched.run(parameters)
    except PrefectServerRefused:
        raise
    except BaseException as error:
        if is_interrupt(error):
            _end_at_once(flow)
        if watched.state is None or not isinstance(error, Exception):
            raise
        line = f"{flow.name}: Prefect's server does not know how the run ended: {one_line(error)}"
        sys.stderr.write(shown_line(line) + "\n")
    return watched.state


def _options(function: Callable[..., Any], docstring: Docstring) -> inspect.Signature:
    signature, hints = inspect.signature(function), get_type_hints(function)
    help_of = {parameter.arg_name: parameter.description for parameter in docstring.params}
    options = [
        parameter.replace(
            kind=inspect.Parameter.KEYWORD_ONLY,
            annotation=Annotated[hints[name], typer.Option(help=help_of[name])],
        )
        for name, parameter in signature.parameters.items()
    ]
    return inspect.Signature(options)


def _refuse_bad_values(hints: dict[str, Any], parameters: dict[str, Any]) -> None:
    """Check values against the limits in the signature before Prefect does, which would print pages and exit 1."""
    for name, value in parameters.items():
        try:
            TypeAdapter(hints[name]).validate_python(value)
        except ValidationError as error:
            option = f"--{name.replace('_', '-')}"
            raise typer.BadParameter(error.errors()[0]["msg"], param_hint=option) from error


def _conclude(flow: Flow[Any, Any], state: State[Any]) -> int:
    """Write the final line of a run; return the exit code."""
    line = shown_line(" ".join((state.message or str(state.name)).split()))
    if state.is_completed():
        sys.stdout.write(line + "\n")
        return 0
    sys.stderr.write(f"{shown_line(flow.name)}: {line}\n")
    return 1


def _end_unless_answered(flow: Flow[Any, Any], state: State[Any]) -> None:
    """Exit with the result of a finished flow if Prefect's server no longer answers.

    Prefect would retry for minutes, log a traceback, call the run failed, and wait for the server again at exit.
    """
    if answers():
        return
    sys.stderr.write(f"{flow.name}: Prefect's server does not answer and does not know how the run ended\n")
    if state.is_cancelled():
        _end_at_once(flow)
    _exit(_conclude(flow, state))


def _end_at_once(flow: Flow[Any, Any]) -> NoReturn:
    """Exit after Ctrl-C, when the flow has released its lease; Prefect's own exit would wait for its server."""
    sys.stderr.write(f"{flow.name}: {INTERRUPTED_LINE}\n")
    _exit(INTERRUPTED)


def _exit(code: int) -> NoReturn:
    """Exit without Prefect's handlers, which would wait for its server, and leave no child behind."""
    sys.stdout.flush()
    sys.stderr.flush()
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(code)


def _fail(flow: Flow[Any, Any], line: str) -> NoReturn:
    sys.stderr.write(shown_line(f"{flow.name}: {line}") + "\n")
    raise typer.Exit(1)
