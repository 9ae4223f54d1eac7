"""A real MLflow server with artifacts in S3: versions are promoted, rolled back, loaded, served and displayed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

from infra.catalog.promotions import Ledger
from infra.settings import Settings
from infra.storage.location import open_location
from infra.tracking.registry import CHAMPION_URL, STUDENT, Registry
from infra.tracking.runs import open_run
from infra.tracking.server import ModelNotFound, TrackingServer
from models.engine import Engine, choose_device, fast_dtype
from models.modelfile import build
from tasks.promotion.transaction import promote_challenger, roll_back
from tasks.resolved_model import resolve_model
from tests.conftest import fresh_bucket
from tests.support.servers.browser import chromium
from tests.support.servers.ceph import Gateway
from tests.support.servers.mlflow_server import mlflow_server, served_model
from tests.support.servers.server_processes import PATIENCE, ROOT
from tests.support.worlds.promotion import PAIRS, found, settings_of, with_strength, write_validation

pytestmark = pytest.mark.slow

LOAD = """
import pickle, sys
import cloudpickle, mlflow, numpy, torch

def refuse(*arguments, **named):
    raise AssertionError("something was unpickled")

for library in (pickle, cloudpickle):
    library.load = library.loads = refuse
model = mlflow.pyfunc.load_model(sys.argv[1])
numpy.save(sys.argv[3], model.predict(numpy.load(sys.argv[2])))
"""
WIDE = {"psnr_y": 3.0, "ssim_y": 0.1, "clean_change": 9.0, "detail_kept": 1.0}


@dataclass(frozen=True, slots=True)
class Tracked:
    """A server on which version 2 was promoted, rolled back and made champion again."""

    settings: Settings
    bucket: str
    training_run: str
    folder: Path

    def derained(self, rainy: np.ndarray) -> np.ndarray:
        """Return the champion's output for photographs in this process."""
        device = choose_device("auto")
        champion = resolve_model(self.settings, CHAMPION_URL).model_file
        return Engine(build(champion), device, fast_dtype(device)).derain(rainy)


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def tracked(
    ceph: Gateway, patch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tracked]:
    folder, bucket = tmp_path_factory.mktemp("tracked"), fresh_bucket(ceph, patch)
    write_validation(folder / "validation")
    with mlflow_server(folder / "server", f"{bucket}/artifacts") as uri:
        places = {"tracking_uri": uri, "workspace": f"{bucket}/workspace"}
        settings = settings_of(folder, **WIDE).model_copy(update=places)
        registry, better = found(settings, with_strength(0.0)), with_strength(1.0)
        training = open_run(settings, "training", "student", {"steps": 6}, folder / "memory")
        training.scalars(6, {"light": 31.5})
        registry.register_challenger(STUDENT, better.weights, better.config, training.run_id)
        training.end()
        assert promote_challenger(settings, f"models:/{STUDENT}@challenger", "one").decision == "promoted"
        roll_back(settings, None, "two")
        roll_back(settings, 2, "three")
        yield Tracked(settings, bucket, training.run_id, folder)


def test_promoted_and_rolled_back(tracked: Tracked):
    rows = Ledger(tracked.settings.workspace).rows(STUDENT)
    assert [(row.decision, row.from_version, row.to_version) for row in rows] == [
        ("adopted", None, "1"),
        ("promoted", "1", "2"),
        ("rolled_back", "2", "1"),
        ("rolled_back", "1", "2"),
    ]
    aliases = Registry(tracked.settings).aliases(STUDENT)
    assert (aliases.champion, aliases.previous, aliases.challenger) == ("2", "1", "2")
    assert resolve_model(tracked.settings, CHAMPION_URL).model_file == with_strength(1.0)
    kept = {ref.key.rpartition("/")[2] for ref in open_location(f"{tracked.bucket}/artifacts").list()}
    assert {"model.safetensors", "config.json", "MLmodel", "pyfunc_model.py", "comparison.html"} <= kept
    version = TrackingServer(tracked.settings).client().get_model_version(STUDENT, "2")
    assert version.run_id == tracked.training_run


def test_an_experiment_may_keep_its_artifacts_in_s3_itself(tracked: Tracked):
    """The server is bypassed, so clients need credentials."""
    client = TrackingServer(tracked.settings).client()
    client.create_experiment("semi-drdnet", artifact_location=f"{tracked.bucket}/direct")
    registry = Registry(tracked.settings)
    number = registry.register_challenger("semi-drdnet", b"weights", b"config")
    again = registry.resolve(f"models:/semi-drdnet/{number}")
    assert (again.weights, again.config) == (b"weights", b"config")
    kept = [ref.key.rpartition("/")[2] for ref in open_location(f"{tracked.bucket}/direct").list()]
    assert "model.safetensors" in kept


def test_files_that_are_gone_from_the_server_are_named(tracked: Tracked):
    """As when the server gets another destination for artifacts, and what it had is not copied there."""
    location, registry = open_location(f"{tracked.bucket}/artifacts"), Registry(tracked.settings)
    kept = {ref.key for ref in location.list()}
    number = registry.register_challenger("drd-net", b"weights", b"config")
    for key in {ref.key for ref in location.list()} - kept:
        location.delete(key)
    with pytest.raises(ModelNotFound, match=rf"drd-net/{number}: registered .* but its files are gone"):
        registry.resolve(f"models:/drd-net/{number}")


def test_a_fresh_process_derains_with_the_champion_and_unpickles_nothing(tracked: Tracked, tmp_path: Path):
    rainy = np.random.default_rng(0).integers(0, 256, (2, 20, 28, 3), np.uint8)
    np.save(tmp_path / "rainy.npy", rainy)
    ended = subprocess.run(
        [sys.executable, "-c", LOAD, CHAMPION_URL, "rainy.npy", "derained.npy"],
        cwd=tmp_path,
        env=installed(MLFLOW_TRACKING_URI=str(tracked.settings.tracking_uri)),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    derained = np.load(tmp_path / "derained.npy")
    assert (derained.dtype, derained.shape) == (np.uint8, rainy.shape)
    np.testing.assert_array_equal(derained, tracked.derained(rainy))


def installed(**variables: str) -> dict[str, str]:
    """Return an environment in which this package is installed, but that may not read buckets."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **variables}


def test_mlflow_serves_the_champion(tracked: Tracked, patch: pytest.MonkeyPatch):
    rainy = np.random.default_rng(1).integers(0, 256, (1, 20, 28, 3), np.uint8)
    patch.setenv("PYTHONPATH", str(ROOT))
    with served_model(tracked.folder / "served", str(tracked.settings.tracking_uri), CHAMPION_URL) as url:
        answer = httpx.post(f"{url}/invocations", json={"inputs": rainy.tolist()}, timeout=PATIENCE)
        refused = httpx.post(f"{url}/invocations", json={"inputs": [[[1.5]]]}, timeout=PATIENCE)
    derained = np.array(answer.json()["predictions"], np.uint8)
    np.testing.assert_array_equal(derained, tracked.derained(rainy))
    assert refused.status_code == 400
    assert "photographs are uint8 (N, H, W, 3) RGB" in refused.text


@pytest.mark.chromium
def test_runs_pictures_and_versions_are_seen_in_the_browser(tracked: Tracked):
    client = TrackingServer(tracked.settings).client()
    experiment = client.get_experiment_by_name("evaluation").experiment_id
    (run,) = client.search_runs([experiment])
    page_of_run = f"{tracked.settings.tracking_uri}/#/experiments/{experiment}/runs/{run.info.run_id}"
    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        page.goto(page_of_run)
        for text in ("one", "manifest_digest", "psnr_y.challenger"):
            page.get_by_text(text, exact=True).first.wait_for()
        page.goto(f"{page_of_run}/artifacts")
        page.get_by_text("images", exact=True).first.click()
        page.get_by_text(".png").first.click()
        page.wait_for_function(
            "[...document.images].some(image => image.src.startsWith('blob:') && image.naturalWidth)"
        )
        page.get_by_text("comparison.html").first.click()
        pictures = page.frame_locator("iframe").locator("img")
        pictures.first.wait_for()
        assert pictures.count() == 4 * PAIRS
        page.goto(f"{tracked.settings.tracking_uri}/#/models/{STUDENT}")
        for text in ("Version 1", "Version 2", "@ champion", "@ previous", "@ challenger"):
            page.get_by_text(text).first.wait_for()
