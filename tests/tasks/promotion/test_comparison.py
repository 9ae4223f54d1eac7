"""Evaluations: deciding figures, figures that are only reported, and the records of both."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from infra.settings import Settings
from infra.tracking.registry import CHAMPION_URL
from infra.tracking.server import TrackingServer
from models.modelfile import pack, write_model_file
from tasks.media.manifests import ManifestInvalid
from tasks.promotion.comparison import compare
from tasks.promotion.evaluation import open_validation
from tasks.promotion.evaluation_cache import recall
from tasks.promotion.transaction import promote_challenger
from tasks.resolved_model import resolve_model
from tests.support.samples.images import encoded
from tests.support.samples.photographs import photograph
from tests.support.samples.students import random_student
from tests.support.worlds.promotion import found, settings_of, write_validation

REAL, TESTED, DECIDING = "rocket", "coffee", ("astronaut", "chelsea")


class Pictures(HTMLParser):
    """Collects the alternative texts of a page's pictures in order, and addresses outside the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.elsewhere: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "img":
            self.texts.append(str(given["alt"]))
        addresses = (given[name] for name in ("src", "href") if name in given)
        self.elsewhere += [each for each in addresses if not str(each).startswith("data:")]


@pytest.fixture(scope="module")
def settings(tracking_tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return settings with a champion, two deciding pairs, a pair of a test set and a photograph of real rain."""
    root = tmp_path_factory.mktemp("compared")
    shutil.copytree(tracking_tables, root / "workspace")
    manifest = write_validation(root / "validation")
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["set"] = "rain100l" if row["scene"] == TESTED else "validation"
    real = encoded(Image.fromarray(photograph(REAL, 96)), "PNG")
    (manifest.parent / "real.png").write_bytes(real)
    rows.append({"rainy": "real.png", "rainy_sha256": sha256(real).hexdigest()})
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    settings = settings_of(root, min_images=2)
    found(settings, pack(random_student(seed=0), {"seed": 0}))
    write_model_file(pack(random_student(seed=1), {"seed": 1}), root / "challenger.safetensors")
    return settings


@pytest.fixture(scope="module")
def reported(settings: Settings) -> str:
    return compare(settings, CHAMPION_URL, challenger(settings), "compared")


def challenger(settings: Settings) -> str:
    return str(Path(settings.workspace).parent / "challenger.safetensors")


@pytest.fixture(scope="module")
def table(settings: Settings, reported: str) -> pl.DataFrame:
    return pl.read_parquet(f"{settings.workspace}/evaluations/compared.parquet")


@pytest.fixture(scope="module")
def page(settings: Settings, reported: str) -> str:
    return Path(settings.workspace, "evaluations", "compared.html").read_text()


def test_the_table_has_every_photograph_of_both(table: pl.DataFrame, reported: str):
    assert "evaluations/compared.parquet" in reported
    assert table.group_by("role").len().sort("role").rows() == [("challenger", 4), ("champion", 4)]
    assert set(table.filter(set="rain100l")["key"]) == {f"rainy/{TESTED}.png"}
    real = table.filter(key="real.png")
    assert real["niqe"].is_not_null().all()
    assert real["psnr_y"].is_null().all()
    assert table.filter(pl.col("key") != "real.png")["niqe"].is_null().all()
    probed = table.filter(pl.col("rain_recall").is_not_null())[
        "key"
    ].unique()  # one scene of real rain: not there
    assert sorted(probed) == [f"rainy/{name}.png" for name in DECIDING]


def test_mlflow_has_figures_table_page_and_pictures(settings: Settings, table: pl.DataFrame, page: str):
    client = TrackingServer(settings).client()
    experiment = client.get_experiment_by_name("evaluation")
    (run,) = client.search_runs([experiment.experiment_id])
    metrics = run.data.metrics
    of = table.filter(role="challenger")
    deciding = of.filter(pl.col("psnr_y").is_not_null(), set="validation")
    assert len(deciding) == len(DECIDING)
    assert metrics["psnr_y.challenger"] == pytest.approx(deciding["psnr_y"].mean())
    assert metrics["rain100l/psnr_y.challenger"] == pytest.approx(of.filter(set="rain100l")["psnr_y"].mean())
    assert metrics["validation/niqe.challenger"] == pytest.approx(of["niqe"].mean())
    assert not any(name.startswith("niqe") for name in metrics)  # NIQE is not a gate
    assert run.data.params["challenger_digest"] == of["digest"][0]
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files == {"comparison.html", "images", "photographs.json"}
    images = [file.path for file in client.list_artifacts(run.info.run_id, "images")]
    assert sum(path.endswith(".png") for path in images) == len(DECIDING) + 1
    folder = Path(client.download_artifacts(run.info.run_id, ""))
    assert (folder / "comparison.html").read_text() == page
    kept = json.loads((folder / "photographs.json").read_text())
    assert (kept["columns"], len(kept["data"])) == (table.columns, len(table))


def test_the_page_shows_the_worst_first_and_needs_nothing_else(table: pl.DataFrame, page: str):
    gains = {
        key: -part.filter(role="champion")["psnr_y"][0] + part.filter(role="challenger")["psnr_y"][0]
        for (key,), part in table.filter(set="validation").group_by("key")
        if key != "real.png"
    }
    pictures = Pictures(page)
    assert pictures.elsewhere == []
    shown = [text.partition(": ")[2] for text in pictures.texts if text.startswith("Challenger: ")]
    assert sorted(shown) == sorted([*gains, "real.png"])
    assert [key for key in shown if key in gains] == sorted(gains, key=gains.__getitem__)
    assert pictures.texts.count("Clean: real.png") == 0
    assert "rain100l/psnr_y" in page


def test_photographs_used_in_training_are_not_compared(settings: Settings, tmp_path: Path):
    clean = Path(settings.validation or "").parent / "clean" / "chelsea.png"
    shutil.copy(clean, tmp_path / "trained.png")
    with pytest.raises(ManifestInvalid, match=r"chelsea\.png shows the same as .*trained\.png"):
        compare(settings, CHAMPION_URL, challenger(settings), "refused", str(tmp_path))
    assert not Path(settings.workspace, "evaluations", "refused.html").exists()


def test_promote_decides_on_the_figures_that_evaluate_recorded(settings: Settings, reported: str) -> None:
    pages = sorted(Path(settings.workspace, "evaluations").glob("*.html"))
    row = promote_challenger(settings, challenger(settings), "promoting")
    assert row.evaluation is not None
    assert row.evaluation.endswith("/evaluations/compared.parquet")
    assert (
        sorted(Path(settings.workspace, "evaluations").glob("*.html")) == pages
    )  # nothing was derained again


def test_another_manifest_is_another_evaluation(settings: Settings, reported: str) -> None:
    champion, candidate = (resolve_model(settings, url) for url in (CHAMPION_URL, challenger(settings)))
    manifest = open_validation(settings)
    known = recall(settings, champion, candidate, manifest)
    assert known is not None
    assert [each.key for each in known.evaluation.photographs] == [row.rainy for row in manifest.rows]
    assert recall(settings, champion, candidate, replace(manifest, digest="another")) is None
    assert recall(settings, candidate, champion, manifest) is None


def test_with_another_place_of_probes_it_is_another_evaluation(settings: Settings, reported: str) -> None:
    champion, candidate = (resolve_model(settings, url) for url in (CHAMPION_URL, challenger(settings)))
    fewer = settings.gates.model_copy(update={"min_scenes": 1})  # the one scene of real rain would be enough
    manifest = open_validation(settings)
    assert recall(settings.model_copy(update={"gates": fewer}), champion, candidate, manifest) is None


def test_an_evaluation_that_lacks_a_figure_is_not_reused(settings: Settings, reported: str) -> None:
    champion, candidate = (resolve_model(settings, url) for url in (CHAMPION_URL, challenger(settings)))
    path = Path(settings.workspace, "evaluations", "compared.parquet")
    whole = path.read_bytes()
    try:
        pl.read_parquet(path).drop("niqe").write_parquet(path)  # as an earlier release would have written it
        assert recall(settings, champion, candidate, open_validation(settings)) is None
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("file", ["compared.parquet", "same/*.json"])
@pytest.mark.parametrize("left", [b"", b"{}", b"cut o"])
def test_a_damaged_evaluation_is_not_reused(
    settings: Settings, reported: str, caplog: pytest.LogCaptureFixture, file: str, left: bytes
) -> None:
    champion, candidate = (resolve_model(settings, url) for url in (CHAMPION_URL, challenger(settings)))
    whole = {path: path.read_bytes() for path in Path(settings.workspace, "evaluations").glob(file)}
    assert whole
    try:
        for path in whole:
            path.write_bytes(left)
        assert recall(settings, champion, candidate, open_validation(settings)) is None
        assert "an evaluation is damaged and measured again" in caplog.text
    finally:
        for path, data in whole.items():
            path.write_bytes(data)
