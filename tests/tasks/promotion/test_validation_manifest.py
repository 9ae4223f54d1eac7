"""The frozen manifest: changed files and invalid rows are refused by name."""

from __future__ import annotations

import csv
import logging
from collections import Counter
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infra.storage.location import open_location
from tasks import counted
from tasks.media.manifests import ManifestInvalid
from tasks.promotion import validation_samples
from tasks.promotion.validation_manifest import read_validation
from tasks.promotion.validation_samples import FOLDER, LEAST_RAIN, PARTS, RAINS, make_validation, scenes
from tasks.promotion.validation_samples import SIDE as SCENE_SIDE
from tasks.promotion.validation_samples import write_validation as write_pairs
from tests.support.samples.images import encoded
from tests.support.worlds.promotion import PAIRS, SIDE, write_validation


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
    assert (found.scenes, found.real_scenes) == (PAIRS - 1, 1)


@pytest.mark.parametrize("side", ["rainy", "clean"])
def test_a_changed_file_is_named(manifest: Path, side: str):
    changed = manifest.parent / side / "coffee.png"
    changed.write_bytes(changed.read_bytes() + b" ")
    with pytest.raises(ManifestInvalid, match=rf"{side}/coffee\.png is not the file that .*manifest\.csv"):
        list(read_validation(str(manifest)).photographs())


def test_a_file_that_is_gone_is_named(manifest: Path):
    (manifest.parent / "clean" / "coffee.png").unlink()
    with pytest.raises(ManifestInvalid, match=r"clean/coffee\.png: named by .*, but does not exist"):
        list(read_validation(str(manifest)).photographs())


@pytest.mark.parametrize(
    ("damage", "reported"),
    [
        (lambda text: text.replace("clean_sha256", "sum"), "no column clean_sha256"),
        (lambda text: text + text.splitlines()[1] + "\n", "is listed twice"),
        (lambda text: text.replace(text.splitlines()[2][-80:], ""), "line 3: a row is"),
        (lambda text: "", "no column"),
    ],
)
def test_a_file_that_is_not_a_manifest_is_refused(manifest: Path, damage, reported: str):
    manifest.write_text(damage(manifest.read_text().replace("\r", "")))
    with pytest.raises(ManifestInvalid, match=reported) as refusal:
        read_validation(str(manifest))
    assert "\n" not in str(refusal.value)


def test_one_is_made_where_none_is_given_and_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    few = list(scenes())[::24]
    monkeypatch.setattr(validation_samples, "scenes", lambda: iter(few))
    for module in (validation_samples, counted):
        monkeypatch.setattr(module, "run_log", lambda: logging.getLogger("derain"))
    monkeypatch.setattr(counted, "LOG_SECONDS", -1.0)
    with caplog.at_level(logging.INFO, "derain"):
        url = make_validation(str(tmp_path))
    assert caplog.messages == [
        "making the default validation set: 432 pairs, once per workspace",
        *(f"making pairs of photograph {number} of 72" for number in (1, 2, 3)),
    ]
    found = read_validation(url)
    assert [row.scene for row in found.rows] == [name for name, _ in few for _ in PARTS]
    assert found.pairs == 3 * len(PARTS)
    for photograph in found.photographs():
        assert photograph.clean is not None
        assert (photograph.rainy.astype(int) - photograph.clean).mean() >= LEAST_RAIN
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    assert make_validation(str(tmp_path)) == url
    assert len(caplog.messages) == 4  # nothing is made again
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == times
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "validation" / found.rows[0].rainy)
    with pytest.raises(ManifestInvalid, match=found.rows[0].rainy):
        next(found.photographs())


def test_pairs_are_written_although_no_rain_is_visible_on_white(tmp_path: Path):
    write_pairs(open_location(str(tmp_path)), [("white", np.full((192, 192, 3), 255, np.uint8))])
    found = read_validation(f"{tmp_path}/manifest.csv")
    assert [(photograph.rainy == 255).all() for photograph in found.photographs()] == [True] * len(PARTS)


def test_the_photographs_that_ship_are_credited_and_free():
    with (FOLDER / "CREDITS.csv").open(newline="") as lines:
        credits = list(csv.DictReader(lines))
    assert [row["photograph"] for row in credits] == sorted(path.name for path in FOLDER.glob("*.webp"))
    assert {row["licence"] for row in credits} == {"CC0-1.0", "public domain"}
    assert all(row["author"] and row["source"].startswith("https://") for row in credits)


def test_every_scene_is_large_enough_and_every_rain_falls_on_two_of_its_parts():
    found = dict(scenes())
    assert len(found) == 72
    assert all(min(pixels.shape[:2]) >= SCENE_SIDE for pixels in found.values())
    assert Counter(rain for rain, *_ in PARTS) == dict.fromkeys(RAINS, 2)


def with_sets(manifest: Path, *names: str) -> Path:
    """Replace the set of each row."""
    head, *rows = manifest.read_text().splitlines()
    assert head.endswith(",set")
    lines = [head, *(row.rpartition(",")[0] + f",{name}" for row, name in zip(rows, names, strict=True))]
    manifest.write_text("\n".join(lines))
    return manifest


def test_other_sets_decide_nothing(manifest: Path):
    found = read_validation(str(with_sets(manifest, "validation", "", "rain100l")))
    assert [row.set for row in found.rows] == ["validation", "validation", "rain100l"]
    assert (found.pairs, found.scenes, len(list(found.photographs()))) == (2, 2, 3)


def test_a_photograph_that_decides_is_in_no_other_set(manifest: Path):
    with_sets(manifest, "validation", "validation", "test")
    head, first, *rows = manifest.read_text().splitlines()
    test_row = rows[-1].split(",")
    data = encoded(Image.open(manifest.parent / first.split(",")[0]), "JPEG", quality=50)
    test_row[0], test_row[1], test_row[2], test_row[3] = "again.jpg", "", sha256(data).hexdigest(), ""
    (manifest.parent / "again.jpg").write_bytes(data)
    manifest.write_text("\n".join([head, first, *rows[:-1], ",".join(test_row)]))
    with pytest.raises(ManifestInvalid, match=r"again\.jpg and .* show the same") as refusal:
        list(read_validation(str(manifest)).photographs())
    assert "\n" not in str(refusal.value)


def test_a_set_that_cannot_be_named_in_figures_is_refused(manifest: Path):
    with_sets(manifest, "validation", "my/set", "validation")
    with pytest.raises(ManifestInvalid, match="line 3: set 'my/set'"):
        read_validation(str(manifest))
