"""A workspace whose pseudo-labels are in one Zarr group per run works without any step by its user.

`pseudo_labels_per_run.tar.gz` was written before workers stored shards of judged crops: two crops of the pool were
judged, one accepted, in `pseudo/before.zarr`, and a layer of rain cut from it; of two later crops a killed run had
judged one, in `pseudo/judged`.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from infra.catalog.pool import Pool
from infra.catalog.pseudo_labels import PseudoLabels
from infra.catalog.streak_bank import StreakLayers
from infra.storage.location import open_location
from tasks.curation import judging, planning
from tests.support.worlds.curations import CurationWorld, total

SIDE = 136
"""Side of the accepted crop in pixels."""


@pytest.fixture
def workspace(tmp_path: Path) -> str:
    with tarfile.open(Path(__file__).with_name("pseudo_labels_per_run.tar.gz")) as packed:
        packed.extractall(tmp_path, filter="data")
    return str(tmp_path / "workspace")


def test_its_pseudo_labels_and_streaks_are_read(workspace: str):
    labels = PseudoLabels(workspace)
    accepted = labels.accepted()
    assert accepted["zarr_group"].to_list() == ["pseudo/before.zarr"]
    crops = Pool(workspace).crops().filter(crop_id=accepted["crop_id"][0])
    rainy, found = Pool(workspace).pixels(crops)[0].astype(int), labels.pixels(accepted)
    sure = found.confidence[0] > 0
    assert sure[:SIDE, :SIDE].any()
    assert not sure[SIDE:].any()
    assert (rainy - found.pseudo_label[0])[sure].mean() > 2  # rain was removed there
    ((crop_id, layer),) = StreakLayers(workspace).read(most=9).layers
    assert crop_id == accepted["crop_id"][0]
    assert layer.shape == (128, 128)
    assert layer.any()


def test_its_pool_is_curated_further(workspace: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(judging, "PROBED_SIDE", 64)
    # It was judged by a student-small that no longer ships; by others, its crops would all be judged again.
    monkeypatch.setattr(planning, "judgement_digest", lambda *_: "8b3714aef672fed1")
    world = CurationWorld(Path(workspace))
    before = world.labels.pixels(world.labels.accepted())
    old = world.accepted()
    done = world.curate("after", score=0.0, informedness=-1.0, detail_kept=0.0)
    assert total(done) == len(world.judges.judged) == 2
    assert set(old) <= set(world.accepted())
    after = world.labels.pixels(world.labels.accepted().filter(crop_id=old[0]))
    np.testing.assert_array_equal(after.pseudo_label, before.pseudo_label)
    left = {ref.key.partition("/")[0] for ref in open_location(f"{workspace}/pseudo").list()}
    assert {f"pseudo/{name}" for name in left} == set(world.labels.accepted()["zarr_group"])
    assert len(StreakLayers(workspace).read(most=99).layers) == 1 + done.streaks
