from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infra.errors import KeyRefused
from infra.settings import Settings
from tasks.batch.preflight import refuse_overlap
from tasks.media.samples import SAMPLES, make_samples, rain_on


def _folder(path: str) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in Path(path).iterdir()}


@pytest.fixture
def two_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.media.samples.SAMPLES", ("chelsea", "coffee"))


def test_samples_are_rainy_photographs(tmp_path: Path) -> None:
    source, destination = make_samples(str(tmp_path))
    assert sorted(_folder(source)) == sorted(f"{name}.png" for name in SAMPLES)
    refuse_overlap(source, destination)
    for data in Path(source).iterdir():
        with Image.open(data) as image:
            assert (image.mode, min(image.size) >= 200) == ("RGB", True)


@pytest.mark.usefixtures("two_samples")
def test_existing_samples_stay_and_missing_ones_are_made(tmp_path: Path) -> None:
    source, _ = make_samples(str(tmp_path))
    before = _folder(source)
    times = {path.name: path.stat().st_mtime_ns for path in Path(source).iterdir()}
    Path(source, "coffee.png").unlink()
    make_samples(str(tmp_path))
    assert _folder(source) == before
    changed = {path.name for path in Path(source).iterdir() if path.stat().st_mtime_ns != times[path.name]}
    assert changed == {"coffee.png"}
    assert {name.name for name in Path(source).iterdir()} == {"chelsea.png", "coffee.png"}


def test_a_workspace_that_cannot_be_written_is_named() -> None:
    with pytest.raises(KeyRefused, match=r"^/dev/null/x/samples/rainy/\w+\.png cannot be a file"):
        make_samples("/dev/null/x")


def test_samples_of_a_remote_workspace_are_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tasks.media.samples.SAMPLES", ("rocket",))
    source, destination = make_samples(Settings(workspace="s3://bucket/work", _env_file=None).workspace)
    assert Path(source) == tmp_path / "var" / "samples" / "rainy"
    assert Path(destination).parent == Path(source).parent


def test_rain_only_brightens_and_is_not_the_same_on_all() -> None:
    clean = np.full((64, 80, 3), 90, np.uint8)
    rainy = rain_on(clean, 1)
    assert (rainy.shape, rainy.dtype) == (clean.shape, np.uint8)
    assert (rainy >= clean).all()
    assert 0 < (rainy > clean).mean() < 1
    assert (rain_on(clean, 2) != rainy).any()
    assert (rain_on(clean, 1) == rainy).all()
