"""A fine-tuning from request to challenger: refusals, resumption, results."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from infra.settings import Settings
from infra.storage.lease import Lease, LeaseLost
from infra.tracking.registry import Registry
from infra.tracking.server import ModelNotFound, TrackingServer
from models.errors import ModelError
from models.evaluation.validation import ValidationSet
from models.modelfile import NotRepresentable, build, read_model_file
from models.networks.base import Network
from models.rain.streaks import FINE, SHEET
from models.shipped import WEIGHTS
from models.training import batches, loop
from models.training.fabric import launch_fabric
from models.training.semi.collapse import Collapsed, CollapseWatch
from models.training.semi.config import SemiConfig
from models.training.semi.objective import SemiSupervised
from models.training.semi.validation import SemiScore
from tasks.media.samples import photograph, rain_on
from tasks.refusals import PreflightFailed
from tasks.training import finetuning, tracked
from tasks.training.finetuning import Finetuned, finetune_on_rain
from tasks.training.finetuning_request import PRESETS, FinetuneRequest, prepare_finetuning
from tasks.training.tracked import Unstable
from tests.support.worlds.rainy import small_world, write_training_folder

SHORT = replace(PRESETS["smoke"], steps=4, crop=32, validate_every=2, save_seconds=0.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def rainy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rainy")
    for number, name in enumerate(("coffee", "chelsea")):
        rained = rain_on(photograph(name)[:160, :160], number, (FINE, SHEET))
        Image.fromarray(rained).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setitem(PRESETS, "smoke", SHORT)
    return Settings(workspace=str(tmp_path / "workspace"), device="cpu", _env_file=None)


@pytest.fixture
def request_(data: Path, rainy: Path) -> FinetuneRequest:
    """Return a request that starts from the shipped student, which finds streaks to train on."""
    model = WEIGHTS / "student-small.safetensors"
    return FinetuneRequest(data=str(data), unlabelled=str(rainy), model=str(model))


def scores(monkeypatch: pytest.MonkeyPatch, rising: float) -> None:
    """Make validation scores rise or fall with the distance of weights: a few real steps have random effects."""
    origin = build(read_model_file(WEIGHTS / "student-small.safetensors")).state_dict()

    def score(self: SemiSupervised, network: Network, pairs: ValidationSet) -> SemiScore:
        way = sum(float((value - origin[name]).norm()) for name, value in network.state_dict().items())
        return SemiScore(light=30, heavy=20, fine=25, faint=25, drops=20, none=50, rerained=28 + rising * way)

    monkeypatch.setattr(SemiSupervised, "score", score)


def finetuned(settings: Settings, request: FinetuneRequest, run_id: str = "run") -> Finetuned:
    return finetune_on_rain(settings, prepare_finetuning(settings, request, SemiConfig()), run_id)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_rendered_rain_and_real_streaks_in_each_batch(preset: str):
    config, fabric = replace(PRESETS[preset], crop=8), launch_fabric("cpu", "32-true")
    crops = len(batches.batch_of(fabric, config, small_world(), 0).clean)
    real = min(round(SemiConfig().rerain_share * crops), crops - 1)
    assert 0 < real < crops


def test_a_killed_training_is_resumed_and_becomes_challenger(
    settings: Settings,
    request_: FinetuneRequest,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    scores(monkeypatch, rising=1)
    for module in (finetuning, tracked):
        monkeypatch.setattr(module, "run_log", lambda: logging.getLogger("derain"))
    take = loop.step

    def killed(fabric: Any, config: Any, state: Any, pair: Any) -> Any:
        if state.step == 2:
            raise KeyboardInterrupt
        return take(fabric, config, state, pair)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            finetuned(settings, request_, "killed")
    with caplog.at_level(logging.INFO, "derain"):
        tuned = finetuned(settings, request_, "again")
    logged = [record.getMessage() for record in caplog.records if record.name == "derain"]
    assert logged == ["choosing the interpolation of weights", "registering semi-drdnet"]
    client = TrackingServer(settings).client()
    run = client.get_run(tuned.run_id)
    points = client.get_metric_history(tuned.run_id, "rerained")
    assert [point.step for point in points] == [2, 4]  # one resumed run
    assert client.get_metric_history(tuned.run_id, "system/process_memory_megabytes")
    kept = {each.path for each in client.list_artifacts(tuned.run_id, "training")}
    assert kept == {"training/checkpoint.pt", "training/curve.csv"}
    assert (run.info.status, run.data.params["semi_rerain"]) == ("FINISHED", "1.0")
    assert "accepted" in run.data.params["streaks"]
    assert tuned.after > tuned.before
    assert (tuned.share, "100% of the way from its initial weights" in str(tuned)) == (1.0, True)
    registered = Registry(settings).resolve("models:/semi-drdnet@challenger")
    assert registered.version == tuned.version == "1"
    assert registered.weights == tuned.weights.read_bytes()
    version = client.get_model_version("semi-drdnet", "1")
    assert version.run_id == version.tags["training_run"] == tuned.run_id
    assert {"start_digest", "data_digest", "real_rain_digest"} <= version.tags.keys()
    assert re.fullmatch(r"\S+ on \d+ streak layers, 4 steps", run.info.run_name)
    assert version.tags["architecture"] in version.description
    assert f"model-{version.source[-12:]}/before_after.jpg" in {
        each.path for each in client.list_artifacts(tuned.run_id, version.source.rpartition("/")[2])
    }
    scores(monkeypatch, rising=1)
    monkeypatch.setattr(loop, "step", pytest.fail)
    assert finetuned(settings, request_, "third").version == "1"  # nothing is trained or registered twice


def test_weights_that_are_not_better_are_not_registered(
    settings: Settings, request_: FinetuneRequest, monkeypatch: pytest.MonkeyPatch
):
    scores(monkeypatch, rising=-1)
    tuned = finetuned(settings, request_)
    assert tuned.version is None
    assert str(tuned).startswith("nothing registered: no weights are better")
    with pytest.raises(ModelNotFound):
        Registry(settings).resolve("models:/semi-drdnet@challenger")


def test_one_whose_lease_is_lost_registers_nothing(
    settings: Settings, request_: FinetuneRequest, monkeypatch: pytest.MonkeyPatch
):
    scores(monkeypatch, rising=1)

    def lost(self: Lease) -> None:
        raise LeaseLost("another run took it")

    monkeypatch.setattr(Lease, "check", lost)
    with pytest.raises(LeaseLost):
        finetuned(settings, request_)
    with pytest.raises(ModelNotFound):
        Registry(settings).resolve("models:/semi-drdnet@challenger")


def test_a_training_that_goes_astray_is_one_line(
    settings: Settings, request_: FinetuneRequest, monkeypatch: pytest.MonkeyPatch
):
    def astray(*arguments: Any) -> None:
        raise NotRepresentable("stem.weight is not finite")

    monkeypatch.setattr("tasks.training.finetuning.fit", astray)
    with pytest.raises(Unstable, match="the training diverged"):
        finetuned(settings, request_)


def test_a_collapse_says_so_and_keeps_the_best_weights(
    settings: Settings, request_: FinetuneRequest, monkeypatch: pytest.MonkeyPatch
):
    scores(monkeypatch, rising=1)
    monkeypatch.setattr(CollapseWatch, "look", collapse_after_one_look())
    prepared = prepare_finetuning(settings, request_, SemiConfig(watch_every=3))
    with pytest.raises(Unstable, match="collapse at step 3"):
        finetune_on_rain(settings, prepared, "run")
    assert (prepared.work / "student-small.safetensors").exists()
    assert not (prepared.work / "checkpoint.pt").exists()  # a run that resumed there would collapse again
    run_id = (prepared.work / "mlflow_run").read_text()
    assert TrackingServer(settings).client().get_run(run_id).info.status == "FAILED"
    with pytest.raises(ModelNotFound):
        Registry(settings).resolve("models:/semi-drdnet@challenger")


def collapse_after_one_look() -> Any:
    def look(self: CollapseWatch, step: int, rendered: Any, rain: Any) -> None:
        if step:
            raise Collapsed(f"collapse at step {step}")

    return look


REFUSED = {
    "no such preset": ({"preset": "huge"}, "preset 'huge'"),
    "no such model": ({"model": "nowhere.safetensors"}, "there is no such file"),
    "no unlabelled photographs": ({"unlabelled": "EMPTY"}, "no photographs there"),
    "no labelled photographs": ({"data": "EMPTY"}, "needs photographs in clean/"),
    "nothing named": ({"preset": "slim", "data": ""}, "no data for preset slim: give --data"),
    "no start": ({"preset": "mid", "model": ""}, "name initial weights with --model"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_line_before_any_training(
    settings: Settings, request_: FinetuneRequest, tmp_path: Path, case: str
):
    changed, message = REFUSED[case]
    (tmp_path / "empty").mkdir()
    values = {name: str(tmp_path / "empty") if value == "EMPTY" else value for name, value in changed.items()}
    with pytest.raises((PreflightFailed, ModelError), match=message):
        finetuned(settings, replace(request_, **values))
    assert not (tmp_path / "workspace" / "finetune").exists()


def test_photographs_without_rain_give_no_bank(settings: Settings, request_: FinetuneRequest, tmp_path: Path):
    """Layers that a network removes from clean photographs, unchanged or flat, are not used for training."""
    folder = tmp_path / "clean"
    folder.mkdir()
    Image.fromarray(np.full((160, 160, 3), 128, np.uint8)).save(folder / "flat.png")
    Image.fromarray(photograph("coffee")[:160, :160]).save(folder / "coffee.png")
    with pytest.raises(PreflightFailed, match=r"no streaks of real rain to train on .*no rain found"):
        finetuned(settings, replace(request_, unlabelled=str(folder)))


def test_noise_gives_no_bank(settings: Settings, request_: FinetuneRequest, tmp_path: Path):
    folder = tmp_path / "noise"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    with pytest.raises(PreflightFailed, match="no streaks of real rain"):
        finetuned(settings, replace(request_, unlabelled=str(folder)))
