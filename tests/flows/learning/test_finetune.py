"""The flow finetune: its help and a refusal; `test_retrain` and `tests/tasks/training/` test complete runs."""

from __future__ import annotations

import inspect
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from prefect.flow_engine import run_flow_sync

from flows.finetune import finetune
from infra.settings import Settings
from models.training.semi.config import SemiConfig
from tasks.refusals import PreflightFailed
from tasks.training.finetuning_request import FinetuneRequest
from tests.support.help_texts import assert_help_explains_every_parameter
from tests.support.servers.prefect_server import PrefectServer


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DERAIN_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("DERAIN_DEVICE", "cpu")
    return tmp_path / "workspace"


def test_help_explains_every_parameter():
    assert_help_explains_every_parameter(finetune)


def test_weights_are_handed_on_and_are_those_of_the_configuration_by_default(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[SemiConfig] = []

    def seen(settings: Settings, request: FinetuneRequest, semi: SemiConfig) -> None:
        asked.append(semi)
        raise PreflightFailed("seen")

    monkeypatch.setattr("flows.finetune.prepare_finetuning", seen)
    parameters = inspect.signature(finetune.fn).parameters
    weights = {name: 0.01 * at for at, name in enumerate(asdict(SemiConfig()).keys() & parameters.keys(), 1)}
    assert finetune.fn(**weights).message == finetune.fn().message == "seen"
    assert asked == [SemiConfig(**weights), SemiConfig()]
    assert {"rerain", "temporal", "streak_contrast", "background_contrast"} == weights.keys()


def test_a_stored_request_for_a_rejected_term_is_refused_by_name(server: PrefectServer):
    """A deployment whose parameters were stored before the term was removed makes such a request."""
    refused = run_flow_sync(finetune, parameters={"anchor": 0.1}, return_type="state")
    assert refused.is_failed()
    assert refused.message.startswith("Validation of flow parameters failed")
    assert refused.message.endswith("but was provided with parameters ['anchor']")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rerain": math.inf}, "rerain inf: must be finite and at least 0"),
        ({"rerain": 0.0, "streak_contrast": 0.1}, "streak_contrast and background_contrast are shares"),
        ({"seed": -1}, "seed -1: must be 0 to 4294967295"),
    ],
)
def test_impossible_settings_are_refused(workspace: Path, parameters: dict[str, Any], message: str):
    refused = finetune.fn(**parameters)
    assert refused.is_failed()
    assert str(refused.message).startswith(message)


def test_a_refusal_is_one_line(workspace: Path):
    refused = finetune.fn(preset="slim", data=str(workspace))
    assert refused.is_failed()
    assert str(refused.message).startswith("no unlabelled photographs for preset slim: give --unlabelled")
