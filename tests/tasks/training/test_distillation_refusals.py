"""Refusals of distill, in one line before any work."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.settings import Settings
from infra.tracking.registry import STUDENT
from infra.tracking.server import TrackingUnreachable
from models.shipped import WEIGHTS
from tasks.refusals import REFUSALS
from tasks.training.distillation_request import prepare_distillation
from tests.support.worlds.distillations import CHAMPION, request, settings_of, versions


@pytest.fixture
def settings(founded: Path, tmp_path: Path) -> Settings:
    return settings_of(founded, tmp_path / "workspace")


def corrupt(material: Path, place: Path) -> str:
    for suffix in (".safetensors", ".json"):
        data = (material / f"afr-net-tiny{suffix}").read_bytes()
        (place / f"torn{suffix}").write_bytes(data[:-100] if suffix == ".safetensors" else data)
    return str(place / "torn.safetensors")


def another_size(material: Path, place: Path) -> str:
    shutil.copy(material / "afr-net-tiny.safetensors", place / "odd.safetensors")
    shutil.copy(material / "student-tiny.json", place / "odd.json")
    return str(place / "odd.safetensors")


def broken_data(material: Path, place: Path) -> str:
    shutil.copytree(material / "data", place / "data")
    (place / "data" / "clean" / "03.png").write_bytes(b"no picture")
    return str(place / "data")


def no_photographs(material: Path, place: Path) -> str:
    (place / "texts").mkdir()
    (place / "texts" / "a.txt").write_text("no picture")
    return str(place / "texts")


def no_student(material: Path, place: Path) -> str:
    return str(material / "afr-net-tiny.safetensors")


def niqe(material: Path, place: Path) -> str:
    return str(WEIGHTS / "niqe.safetensors")


CASES: list[tuple[dict[str, str | int | Callable[[Path, Path], str]], str]] = [
    ({"steps": 0}, "steps 0: must be at least 1"),
    ({"seed": -1}, "seed -1: must be 0 to 4294967295"),
    ({"preset": "huge"}, "preset 'huge': unknown; choose from smoke, small, base"),
    ({"preset": "small", "data": ""}, "no data for preset small: give --data or set DERAIN_TRAINING"),
    ({"data": "/nowhere"}, "data /nowhere: needs photographs in clean/"),
    ({"data": broken_data}, "03.png"),
    ({"unlabelled": no_photographs}, "texts: no photographs there"),
    ({"unlabelled": "/nowhere"}, "/nowhere"),
    ({"unlabelled": "gs://rainy"}, "gs:// is not supported"),
    ({"teacher": "/nowhere/wise.safetensors"}, "/nowhere/wise.safetensors: no network of this name ships"),
    ({"teacher": corrupt}, "torn.safetensors: the weights are damaged"),
    ({"teacher": another_size}, "odd.safetensors"),
    ({"teacher": niqe}, "niqe.json: no such file"),
    ({"teacher": "models:/afr-net@nobody"}, "models:/afr-net@nobody"),
    ({"teacher": CHAMPION, "student": "champion"}, f"teacher {STUDENT}/1 is the student itself"),
    ({"unlabelled_teacher": f"models:/{STUDENT}/99"}, f"models:/{STUDENT}/99"),
    ({"student": no_student}, "student afr-net-tiny has the architecture afr-net: only a student"),
]


@pytest.mark.parametrize(("changes", "line"), CASES, ids=[line for _, line in CASES])
def test_it_is_refused_with_one_line(settings: Settings, material: Path, tmp_path: Path, changes, line):
    given = {key: value(material, tmp_path) if callable(value) else value for key, value in changes.items()}
    with pytest.raises(REFUSALS) as refused:
        prepare_distillation(settings, request(material, **given))
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (Path(settings.workspace) / "distill").exists()
    assert versions(settings) == [1]


@pytest.mark.slow
def test_a_silent_tracking_server_is_reported_before_any_work(tmp_path: Path, material: Path):
    settings = Settings(workspace=str(tmp_path), tracking_uri="http://127.0.0.1:9", _env_file=None)
    with pytest.raises(TrackingUnreachable, match=r"127\.0\.0\.1:9: the tracking server does not answer"):
        prepare_distillation(settings, request(material))
    assert list(tmp_path.iterdir()) == []
