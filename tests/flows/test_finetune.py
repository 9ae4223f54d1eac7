"""finetune as a flow: its help and a refusal. The whole of it: `test_retrain`, `tests/tasks/training/`."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from pathlib import Path

import pytest
from docstring_parser import DocstringStyle, parse
from typer.testing import CliRunner

from flows.command_line import command_of
from flows.finetune import finetune
from models.semi_config import SemiConfig


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DERAIN_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("DERAIN_DEVICE", "cpu")
    return tmp_path / "workspace"


def test_help_explains_every_parameter():
    shown = CliRunner().invoke(command_of(finetune), ["--help"], env={"COLUMNS": "80"})
    words = " ".join(shown.output.split())
    described = parse(finetune.fn.__doc__ or "", DocstringStyle.GOOGLE).params
    assert [each.arg_name for each in described] == list(inspect.signature(finetune.fn).parameters)
    assert all(" ".join(str(each.description).split()) in words for each in described)
    assert shown.exit_code == 0


def test_terms_count_by_default_as_where_they_are_explained():
    defaults = {name: each.default for name, each in inspect.signature(finetune.fn).parameters.items()}
    weights = {name: weight for name, weight in asdict(SemiConfig()).items() if name in defaults}
    assert {name: defaults[name] for name in weights} == weights
    assert {"rerain", "temporal", "pseudo_label", "anchor"} <= weights.keys()


def test_what_cannot_be_done_is_one_line(workspace: Path):
    refused = finetune.fn(preset="slim", data=str(workspace))
    assert refused.is_failed()
    assert str(refused.message).startswith("no unlabelled for preset slim: give --unlabelled")
