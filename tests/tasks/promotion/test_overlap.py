"""Training photographs are refused for validation, recognised by their files or by their content."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tasks.media.manifests import ManifestInvalid
from tasks.promotion.overlap import refuse_training
from tasks.promotion.validation_manifest import ValidationManifest, read_validation
from tests.support.samples.images import encoded
from tests.support.samples.photographs import PHOTOGRAPHS, photograph
from tests.support.worlds.promotion import SIDE, write_validation


@pytest.fixture
def manifest(tmp_path: Path) -> ValidationManifest:
    return read_validation(str(write_validation(tmp_path / "validation")))


@pytest.fixture
def training(tmp_path: Path) -> Path:
    """Return a folder of photographs that are not in the manifest, and files that are not photographs."""
    folder = tmp_path / "training"
    (folder / "deep").mkdir(parents=True)
    (folder / "broken.jpg").write_bytes(b"<html>")
    (folder / "notes.txt").write_text("none")
    put(folder / "deep" / "other.png", PHOTOGRAPHS[-1])
    return folder


def put(path: Path, name: str, form: str = "PNG", cut: int = 0) -> None:
    pixels = photograph(name, SIDE)[cut : SIDE - cut, cut : SIDE - cut]
    path.write_bytes(encoded(Image.fromarray(pixels), form))


def test_other_photographs_do_not_overlap(manifest: ValidationManifest, training: Path):
    refuse_training(manifest, str(training))


@pytest.mark.parametrize(("form", "cut"), [("PNG", 0), ("JPEG", 0), ("JPEG", 1)])
def test_a_photograph_in_both_is_named(manifest: ValidationManifest, training: Path, form: str, cut: int):
    put(training / "deep" / "same.png", "coffee", form, cut)
    with pytest.raises(ManifestInvalid, match=r"coffee\.png shows the same as .*deep/same\.png") as refusal:
        refuse_training(manifest, str(training))
    assert "\n" not in str(refusal.value)


def test_a_folder_without_photographs_is_refused_as_training(manifest: ValidationManifest, training: Path):
    (training / "deep" / "other.png").unlink()
    with pytest.raises(ManifestInvalid, match="no photograph there"):
        refuse_training(manifest, str(training))
