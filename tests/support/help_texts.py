"""Compare a flow's `--help` with the `Args:` block of its docstring."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from docstring_parser import DocstringStyle, parse
from prefect import Flow
from typer.testing import CliRunner

from flows.running.command_line import command_of


def assert_help_explains_every_parameter(flow: Flow[..., Any] | Callable[..., Any]) -> None:
    """Fail unless the docstring describes every parameter and `--help` shows each description.

    All white space is dropped before the comparison: the help is wrapped, also after the hyphen of a word.
    """
    fn = getattr(flow, "fn", flow)
    shown = CliRunner().invoke(command_of(flow), ["--help"], env={"COLUMNS": "80"})
    assert shown.exit_code == 0
    described = parse(fn.__doc__ or "", DocstringStyle.GOOGLE).params
    assert [each.arg_name for each in described] == list(inspect.signature(fn).parameters)
    text = "".join(shown.output.split())
    for each in described:
        assert f"--{each.arg_name.replace('_', '-')}" in text
        assert "".join(str(each.description).split()) in text
