"""The frozen manifest: whatever is not as it was is refused by its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.manifests import ManifestInvalid
from tasks.validation_manifest import read_validation
from tasks.validation_samples import PHOTOGRAPHS, RAINS, make_validation
from tests.championships import PAIRS, SIDE, write_validation


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_validation(tmp_path)


def test_pairs_come_in_the_order_of_the_file(manifest: Path):
    found = read_validation(str(manifest))
    photographs = list(found.photographs())
    assert (found.pairs, len(photographs)) == (PAIRS, PAIRS)
    for photograph in photographs:
        assert photograph.clean is not None
        assert photograph.rainy.shape == photograph.clean.shape == (SIDE, SIDE, 3)
        assert (photograph.rainy != photograph.clean).any()


def test_a_photograph_of_real_rain_has_no_clean_version(manifest: Path):
    lines = manifest.read_text().splitlines()
    rainy, _, digest, *_ = lines[1].split(",")
    manifest.write_text("\n".join([lines[0], f"{rainy},,{digest},,", *lines[2:]]))
    found = read_validation(str(manifest))
    first = next(found.photographs())
    assert (found.pairs, first.clean, first.row.scene) == (PAIRS - 1, None, rainy)


@pytest.mark.parametrize("side", ["rainy", "clean"])
def test_a_changed_file_is_named(manifest: Path, side: str):
    changed = manifest.parent / side / "coffee.png"
    changed.write_bytes(changed.read_bytes() + b" ")
    with pytest.raises(ManifestInvalid, match=rf"{side}/coffee\.png is not the file that .*manifest\.csv"):
        list(read_validation(str(manifest)).photographs())


def test_a_file_that_is_gone_is_named(manifest: Path):
    (manifest.parent / "clean" / "coffee.png").unlink()
    with pytest.raises(ManifestInvalid, match=r"clean/coffee\.png: named by .*, but not there"):
        list(read_validation(str(manifest)).photographs())


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: text.replace("clean_sha256", "sum"), "no column clean_sha256"),
        (lambda text: text + text.splitlines()[1] + "\n", "is there twice"),
        (lambda text: text.replace(text.splitlines()[2][-80:], ""), "line 3: a row is"),
        (lambda text: "", "no column"),
    ],
)
def test_what_is_no_manifest_is_refused(manifest: Path, damage, told: str):
    manifest.write_text(damage(manifest.read_text().replace("\r", "")))
    with pytest.raises(ManifestInvalid, match=told) as refusal:
        read_validation(str(manifest))
    assert "\n" not in str(refusal.value)


def test_one_is_made_where_none_is_given_and_stays_as_it_is(tmp_path: Path):
    url = make_validation(str(tmp_path))
    found = read_validation(url)
    assert found.pairs == len(PHOTOGRAPHS) * len(RAINS) >= 20
    assert len({row.scene for row in found.rows}) == len(PHOTOGRAPHS)
    for photograph in found.photographs():
        assert photograph.clean is not None
        assert (photograph.rainy.astype(int) - photograph.clean).mean() > 0.1
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    assert make_validation(str(tmp_path)) == url
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == times
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "validation" / found.rows[0].rainy)
    with pytest.raises(ManifestInvalid, match=found.rows[0].rainy):
        next(found.photographs())
