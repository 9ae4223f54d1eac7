from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchmarks.release import cards, ship
from models.evaluation.probes import ProbeScore
from models.evaluation.validation import KINDS, ValidationScore
from models.modelfile import pack, read_model_file, write_model_file
from models.training.distill.objective import Lineage
from tests.support.samples.networks import random_network
from tests.support.worlds.rainy import write_training_folder

FACTS = {"train": {"recipe": "mixed", "steps": 9, "init": "/somewhere/start.safetensors"}, "step": 6}


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder of shipped weights, with separate results."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for module in (ship, cards):
        monkeypatch.setattr(module, "WEIGHTS", folder)
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    return folder


def run(out: Path, data: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> None:
    monkeypatch.setattr(sys, "argv", ["ship", str(out), f"--data={data}", "--note=Short.", *more])
    ship.main()


def training(out: Path, *, harm: bool) -> Path:
    """Return the folder of a training whose network leaves photographs unchanged, or makes them brighter."""
    network = random_network("student-tiny")
    network.head.weight.zero_()
    network.head.bias.fill_(0.1 if harm else 0.0)
    write_model_file(pack(network, FACTS), out / "student-tiny.safetensors")
    (out / "curve.csv").write_text("step,light\n6,30\n")
    return out


def test_the_better_weights_ship_and_the_worse_do_not(weights: Path, tmp_path: Path, monkeypatch):
    data = write_training_folder(tmp_path / "data")
    run(training(tmp_path / "worse", harm=True), data, monkeypatch)
    first = (weights / "student-tiny.safetensors").read_bytes()
    run(training(tmp_path / "better", harm=False), data, monkeypatch)
    shipped = (weights / "student-tiny.safetensors").read_bytes()
    assert shipped != first
    with pytest.raises(SystemExit, match="does not beat"):
        run(tmp_path / "worse", data, monkeypatch)
    assert (weights / "student-tiny.safetensors").read_bytes() == shipped
    assert (tmp_path / "training_student-tiny.csv").read_text() == "step,light\n6,30\n"
    facts = json.loads(read_model_file(weights / "student-tiny.safetensors").config)["facts"]
    assert facts["train"]["init"] == "start.safetensors"
    assert set(facts["validation_psnr_y"]) == set(KINDS)
    assert facts["validation_planted"] == {"rain_recall": 0.0, "detail_kept": 1.0}, (
        "it leaves photographs alone"
    )


def test_a_network_that_became_cautious_does_not_ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rendered = ValidationScore(light=36.0, heavy=27.0, fine=33.0, faint=32.0, drops=30.0, none=58.0)
    champion = ship.Scores(rendered, ProbeScore(rain_recall=0.75, detail_kept=0.81))
    bolder = ship.Scores(replace(rendered, heavy=27.1), ProbeScore(rain_recall=0.76, detail_kept=0.81))
    cautious = ship.Scores(replace(rendered, heavy=27.3), ProbeScore(rain_recall=0.72, detail_kept=0.82))
    monkeypatch.setattr(ship, "score", lambda path, pairs: champion)
    equal = ship.Scores(replace(rendered, heavy=27.1), ProbeScore(rain_recall=0.745, detail_kept=0.81))
    ship.refuse_worse(tmp_path / "bolder", bolder, tmp_path / "champion", None)
    ship.refuse_worse(
        tmp_path / "equal", equal, tmp_path / "champion", None
    )  # within the noise of the probes
    with pytest.raises(SystemExit, match="does not beat"):
        ship.refuse_worse(tmp_path / "cautious", cautious, tmp_path / "champion", None)


def test_a_grown_network_has_to_beat_the_one_that_it_grew_from(weights: Path, tmp_path: Path, monkeypatch):
    data = write_training_folder(tmp_path / "data")
    start = training(tmp_path / "start", harm=False) / "student-tiny.safetensors"
    training(tmp_path / "grown", harm=True)
    for suffix in (".safetensors", ".json"):
        (tmp_path / "grown" / "student-tiny").with_suffix(suffix).rename(
            (tmp_path / "grown" / "student-large").with_suffix(suffix)
        )
    with pytest.raises(SystemExit, match="does not beat"):
        run(tmp_path / "grown", data, monkeypatch, f"--beats={start}")
    assert not list(weights.glob("student-large*"))


def test_a_card_reports_what_was_measured(weights: Path, tmp_path: Path):
    facts = FACTS | {"data": "Photographs", "note": "Short.", "validation_psnr_y": {"light": 31.5}}
    write_model_file(pack(random_network("drd-net-tiny"), facts), weights / "drd-net-tiny.safetensors")
    (tmp_path / "quality.csv").write_text(
        "set,model,n,psnr_y,ssim_y,psnr_y_p10,psnr_y_min\nrain100l,drd-net-tiny,100,33.3,0.95,30.1,22.0\n"
        "rain100l,another,100,1.0,0.1,1.0,1.0\n"
    )
    cards.main()
    card = (weights / "drd-net-tiny.md").read_text()
    assert "psnr_y 33.3 dB" in card
    assert "psnr_y 1.0 dB" not in card
    assert "best of the validation\nsplit at step 6: psnr_y light 31.50 dB. Short." in card
    assert "needs whole photographs" in card


def test_a_card_of_what_was_distilled_names_its_teachers_and_photographs(weights: Path):
    lineage = Lineage("u-net", "a", "self-ensemble-4:u-net", "b", 60, "c")
    facts = FACTS | {"data": "Photographs", "validation_psnr_y": {"light": 31.5}, "lineage": asdict(lineage)}
    write_model_file(pack(random_network("student-tiny"), facts), weights / "student-tiny.safetensors")
    card = cards.card(weights / "student-tiny.safetensors")
    assert "Photographs. Also 60 rainy photographs without labels." in card
    assert "models.distill --preset student-tiny --init" in card
    assert "--teacher u-net.safetensors --unlabelled-teacher self-ensemble-4:u-net.safetensors" in card
    assert "models.train" not in card


def test_missing_measurements_are_reported(weights: Path):
    assert "not yet" in cards.measured("student-tiny")
