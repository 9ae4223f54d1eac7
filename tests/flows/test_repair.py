"""The output and exit code of `python -m flows.repair`."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.repair import repair
from infra.catalog.derained import Catalog
from tests.support.samples.damages import cut, log_file
from tests.support.samples.records import record


def test_the_command_rebuilds_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import typer

    monkeypatch.setenv("DERAIN_WORKSPACE", str(tmp_path))
    catalog = Catalog(str(tmp_path))
    catalog.commit([record("a")], replace=False)
    cut(log_file(Path(catalog.url)), 100)
    app = typer.Typer()
    app.command()(repair)
    first, second = (CliRunner().invoke(app) for _ in range(2))
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "derained: rebuilt with 1 rows" in first.output
    assert "derained: intact" in second.output
