"""A registered version in MLflow: its card, digest, architecture, figures and pictures."""

from __future__ import annotations

import json
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from mlflow.exceptions import MlflowException
from PIL import Image

from infra.settings import Settings
from infra.tracking.registry import CHAMPION_URL, STUDENT, Registry
from infra.tracking.server import TrackingServer
from models.modelfile import pack, read_model_file
from models.shipped import DEFAULT_WEIGHTS
from tasks.resolved_model import resolve_model
from tasks.version_card import SIDE, card_of
from tests.support.samples.students import random_student


@pytest.fixture
def settings(tracking_tables: Path, tmp_path: Path) -> Settings:
    shutil.copytree(tracking_tables, tmp_path / "workspace")
    return Settings(workspace=str(tmp_path / "workspace"), _env_file=None)


def test_the_shipped_version_carries_its_card(settings: Settings):
    resolve_model(settings, CHAMPION_URL)
    client = TrackingServer(settings).client()
    version = client.get_model_version(STUDENT, "1")
    assert version.description == DEFAULT_WEIGHTS.with_suffix(".md").read_text(encoding="utf-8")
    config = json.loads(DEFAULT_WEIGHTS.with_suffix(".json").read_bytes())
    assert version.tags["digest"] == read_model_file(DEFAULT_WEIGHTS).digest
    assert version.tags["architecture"] == "student"
    assert version.tags["parameters"] == str(config["parameters"])
    figures = client.get_run(version.run_id).data.metrics
    assert figures["validation_psnr_y/light"] == config["facts"]["validation_psnr_y"]["light"]
    server = TrackingServer(settings)
    assert server.artifact(version.source, "README.md").decode() == version.description
    with Image.open(BytesIO(server.artifact(version.source, "before_after.jpg"))) as picture:
        assert picture.size == (2 * SIDE, 2 * SIDE)  # rainy above, derained below
        rainy, derained = np.split(np.asarray(picture).astype(int), 2)
    assert (rainy - derained).mean() > 2  # bright streaks were removed


def test_a_challenger_has_a_card_made_of_its_config(settings: Settings):
    facts = {
        "train": {"preset": "student-tiny", "steps": 40},
        "step": 30,
        "validation_psnr_y": {"light": 31.5},
    }
    made = pack(random_student(), facts, name="mine")
    card = card_of(made)
    number = Registry(settings).register_challenger(STUDENT, made.weights, made.config, card=card)
    version = TrackingServer(settings).client().get_model_version(STUDENT, number)
    assert version.description.startswith("# mine\n\nstudent, ")
    assert "best at step 30 of 40" in version.description
    assert "psnr_y light 31.50 dB" in version.description
    assert version.tags["digest"] == made.digest


@pytest.mark.filterwarnings(
    "ignore:.*Any type hint is inferred:UserWarning"
)  # when mlflow.pyfunc is imported
@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (np.zeros((2, 8, 8, 3)), "float64 (2, 8, 8, 3)"),
        (np.zeros((8, 8, 3), np.uint8), "uint8 (8, 8, 3)"),
        (np.zeros((1, 3, 8, 8), np.uint8), "uint8 (1, 3, 8, 8)"),
        (np.full((1, 8, 8, 3), 256), "int64 (1, 8, 8, 3)"),
        (np.zeros((0, 8, 8, 3), np.uint8), "uint8 (0, 8, 8, 3)"),
        ([["rain"]], "(1, 1)"),
    ],
)
def test_a_wrong_input_of_predict_is_refused_with_what_it_takes(
    settings: Settings, wrong: object, named: str
):
    made = pack(random_student(), {})
    number = Registry(settings).add_version(STUDENT, made.weights, made.config)
    source = TrackingServer(settings).client().get_model_version(STUDENT, number).source
    from mlflow.pyfunc import load_model

    model = load_model(source)
    with pytest.raises(MlflowException, match=r"photographs are uint8 \(N, H, W, 3\) RGB") as refusal:
        model.predict(wrong)
    assert named in str(refusal.value)
    assert model.predict(np.zeros((1, 8, 8, 3), np.int64)).dtype == np.uint8
