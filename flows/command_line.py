"""A flow as a command: options and help from its signature and docstring, one line and an exit code at the end."""

from __future__ import annotations

import inspect
import sys
from typing import Annotated, Any, cast, get_type_hints

import typer
from docstring_parser import Docstring, DocstringStyle, parse
from prefect import Flow, State
from prefect.exceptions import ParameterTypeError


def run(flow: Flow[Any, Any]) -> None:
    """Run a flow from the command line.

    Exit code 0 when it completed, 1 with one line when it did not, 2 for usage errors. `--help` explains every
    parameter in the words of the docstring's `Args`.

    Parameters
    ----------
    flow : Flow
        Every parameter has a default.
    """
    typer.run(_command(flow))


def _command(flow: Flow[Any, Any]) -> Any:
    def command(**parameters: Any) -> None:
        try:
            state = cast(State[Any], flow(**parameters, return_state=True))
        except ParameterTypeError as error:
            _stop(f"{flow.name}: {_usage(error)}", 2)
        if not state.is_completed():
            _stop(f"{flow.name}: {state.message}", 1)
        sys.stdout.write(f"{state.message or state.result()}\n")

    function = inspect.unwrap(flow.fn)
    docstring = parse(function.__doc__ or "", DocstringStyle.GOOGLE)
    command.__doc__ = docstring.description
    command.__signature__ = _options(function, docstring)  # type: ignore[attr-defined]
    return command


def _options(function: Any, docstring: Docstring) -> inspect.Signature:
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


def _usage(error: ParameterTypeError) -> str:
    return " ".join(str(error).split())


def _stop(line: str, code: int) -> None:
    sys.stderr.write(line + "\n")
    raise typer.Exit(code)
