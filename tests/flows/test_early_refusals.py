"""Commands that refuse their parameters in one line before a Prefect server starts."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.running import command_line
from flows.running.command_line import command_of
from infra.settings import Settings
from infra.tracking.registry import STUDENT
from tasks.resolved_model import register_shipped
from tests.support.worlds.pools import rainy_crops, write_pool

CASES = {
    "ingest --source nope": "ingest: {here}/nope: ",
    "ingest --where x": "ingest: --where chooses rows of the catalog",
    "curate --decisions nope.json": "curate: {here}/nope.json",
    "curate --teacher nope": "curate: nope: no network of this name ships",
    "finetune --preset foo": "finetune: preset 'foo': unknown; choose from smoke, slim",
    "finetune --rerain inf": "finetune: rerain inf: must be finite",
    "finetune --preset slim": "finetune: no data for preset slim",
    "finetune --model nope": "finetune: nope: no network of this name ships",
    "finetune --unlabelled /nope": "finetune: /nope: ",
    "distill --unlabelled {here}": "distill: {here}: no photographs there",
    "distill --preset foo": "distill: preset 'foo': unknown; choose from smoke, small, base",
    "distill --data /nope": "distill: data /nope: needs photographs in clean/",
    "distill --seed -1": "distill: seed -1: must be 0 to",
    "distill --teacher self-ensemble:nope": "distill: nope: no network of this name ships",
    "retrain --preset foo": "retrain: preset 'foo': unknown; choose from smoke, cpu, gpu",
    "retrain --preset smok": "retrain: preset 'smok': unknown; choose from smoke, cpu, gpu; did you mean smoke?",
    "retrain --data /nope": "retrain: data /nope: needs photographs in clean/",
    "retrain --decisions nope.json": "retrain: {here}/nope.json",
    "evaluate --challenger nope.safetensors": "evaluate: nope.safetensors: no network of this name ships",
    "evaluate --challenger student-small --training nope": "evaluate: {here}/nope: ",
    "promote --challenger models:/derain-student/99": "promote: models:/derain-student/99",
    "evaluate --challenger champion": "evaluate: champion: no network of this name ships; did you mean "
    "models:/derain-student@champion?",
    "distill --teacher derain-student/1": "distill: derain-student/1: no network of this name ships; did you mean "
    "models:/derain-student/1?",
    "rollback --to 99": "rollback: models:/derain-student/99: derain-student has no such version; it has 1 (",
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace with a pool and a champion, since MLflow logs that it creates its tables."""
    folder = tmp_path_factory.mktemp("workspace")
    write_pool(folder, rainy_crops(2, side=160))
    register_shipped(Settings(workspace=str(folder), _env_file=None), STUDENT)
    return folder


@pytest.mark.parametrize("words", CASES)
def test_it_is_refused_before_a_server_starts(
    words: str, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DERAIN_WORKSPACE", str(workspace))
    monkeypatch.setattr(command_line, "prefect_server", pytest.fail)
    name, *rest = words.format(here=tmp_path).split()
    module = importlib.import_module(f"flows.{name}")
    shown = CliRunner().invoke(command_of(getattr(module, name), module.refuse), rest)
    assert (shown.exit_code, shown.stdout) == (1, "")
    (line,) = shown.stderr.splitlines()
    assert line.startswith(CASES[words].format(here=tmp_path))
