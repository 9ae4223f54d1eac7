"""The rows of the ledger determine which pseudo-labels are accepted, at any version."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from deltalake import write_deltalake

from infra.catalog import pseudo_label_zarr
from infra.catalog.delta import compaction, options
from infra.catalog.delta.schema import records_table
from infra.catalog.pool_zarr import CROP_SIDE
from infra.catalog.pseudo_label_zarr import PseudoPixels
from infra.catalog.pseudo_labels import TABLE, PseudoLabels
from infra.catalog.streak_bank import StoredLayers, StreakLayers
from infra.errors import TransientError
from infra.records import PseudoLabelRecord
from infra.storage.location import open_location
from tests.support.worlds.pools import ACCEPTED, BEGAN


def row(run: int, crop_id: str = "x", **changes: object) -> PseudoLabelRecord:
    when = BEGAN + timedelta(days=run)
    return replace(ACCEPTED, crop_id=crop_id, run_id=f"r{run}", decided_at=when, zarr_row=run, **changes)


def rejected(run: int, by: str | None, crop_id: str = "x") -> PseudoLabelRecord:
    nowhere = {"zarr_group": None, "decision": "rejected", "reviewer_decision": by}
    return replace(row(run, crop_id, **nowhere), zarr_row=None)


@pytest.fixture
def labels(tmp_path: Path) -> PseudoLabels:
    return PseudoLabels(str(tmp_path))


def test_an_empty_ledger_accepts_nothing(labels):
    assert (labels.accepted().height, labels.rows().height, labels.version()) == (0, 0, None)


def test_a_ledger_of_before_reasons_had_details_is_read_and_extended(labels):
    before = records_table([rejected(0, None)], TABLE).drop_columns(["reason_details"])
    write_deltalake(labels.url, before)
    assert labels.rows()["reason_details"].to_list() == [None]
    labels.commit([replace(rejected(1, None), reason="low score", reason_details="score 0.1")], replace=False)
    assert labels.rows()["reason_details"].to_list() == [None, "score 0.1"]


def test_each_version_stays_a_training_set(labels, monkeypatch):
    """Pseudo-labels are replaced by better ones, kept, rejected by a rule or a reviewer, and accepted again."""
    monkeypatch.setattr(options, "RETENTION", "interval 0 seconds")
    monkeypatch.setattr(compaction, "COMPACT_AT", 2)
    kept = replace(row(2, decision="kept", zarr_group=None), zarr_row=None)
    steps = [
        row(0),
        row(1),
        kept,
        rejected(3, None),
        rejected(4, "reject"),
        row(5, reviewer_decision="accept"),
    ]
    versions = []
    for step in steps:
        labels.commit([step, row(int(step.run_id[1:]), "y")], replace=False)
        versions.append(labels.version())
    assert labels.maintain()
    found = [labels.accepted(version=version)["zarr_row"].to_list() for version in versions]
    assert found == [[0, 0], [1, 1], [1, 2], [1, 3], [4], [5, 5]]
    assert labels.accepted()["crop_id"].to_list() == ["x", "y"]


def test_a_commit_that_is_sent_twice_is_there_once(labels):
    labels.commit([row(0)], replace=False)
    labels.commit([row(0, score=0.9), row(0, "y")], replace=False)
    assert labels.rows()["score"].to_list() == [0.5, 0.5]


def pixels(value: int) -> PseudoPixels:
    side = (CROP_SIDE, CROP_SIDE)
    return PseudoPixels(np.full((*side, 3), value, np.uint8), np.full(side, 200 + value, np.uint8))


def test_pixels_come_back_in_the_order_of_the_rows(labels, tmp_path):
    pseudo_label_zarr.write_group(str(tmp_path), "pseudo/r0.zarr", list(map(pixels, (1, 2, 3))))
    places = (("x", 2), ("y", 0), ("z", 1))
    labels.commit([replace(row(0, name), zarr_row=place) for name, place in places], replace=False)
    found = labels.pixels(labels.accepted()[[2, 0]])
    assert found.pseudo_label[:, 0, 0, 0].tolist() == [2, 3]
    assert found.confidence[:, -1, -1].tolist() == [202, 203]
    assert labels.pixels(labels.accepted().clear()).confidence.shape == (0, CROP_SIDE, CROP_SIDE)


def test_only_the_given_groups_are_removed(tmp_path):
    workspace = str(tmp_path)
    for name in ("r0", "r1"):
        pseudo_label_zarr.write_group(workspace, pseudo_label_zarr.group_name(name), [pixels(1)])
    open_location(f"{tmp_path}/pseudo/judged/j").put("x.json", b"waits")
    assert pseudo_label_zarr.list_groups(workspace) == {"pseudo/r0.zarr": True, "pseudo/r1.zarr": True}
    assert pseudo_label_zarr.remove_groups(workspace, {"pseudo/r1.zarr"}) > 0
    left = {ref.key.partition("/")[0] for ref in open_location(f"{tmp_path}/pseudo").list()}
    assert left == {"r0.zarr", "judged"}
    assert pseudo_label_zarr.remove_groups(str(tmp_path / "nothing"), {"pseudo/r0.zarr"}) == 0


def test_a_group_that_lacks_an_object_is_not_complete(tmp_path):
    pseudo_label_zarr.write_group(str(tmp_path), "pseudo/r0.zarr", [pixels(1)])
    (tmp_path / "pseudo/r0.zarr/confidence/c/0/0/0").unlink()
    assert pseudo_label_zarr.list_groups(str(tmp_path)) == {"pseudo/r0.zarr": False}


def test_the_bank_of_streaks_follows_what_is_accepted(labels, tmp_path):
    bank = StreakLayers(str(tmp_path))
    assert bank.read(most=9) == StoredLayers((), {})
    labels.commit([row(0), row(0, "y")], replace=False)
    layers = [np.full((8, 8), value, np.uint8) for value in (1, 2, 3)]
    bank.write("r0", layers, ["x", "y", "y"], {"not elongated": 4})
    assert [(crop, int(layer[0, 0])) for crop, layer in bank.read(most=9).layers] == [
        ("x", 1),
        ("y", 2),
        ("y", 3),
    ]
    labels.commit([rejected(1, "reject", "y")], replace=False)
    bank.write("r1", [], [], {"not elongated": 1, "no rain found": 2})
    assert [(crop, int(layer[0, 0])) for crop, layer in bank.read(most=9).layers] == [("x", 1)]
    assert bank.read(most=9).refused == {"not elongated": 5, "no rain found": 2}


def test_layers_belong_to_the_pseudo_label_in_their_group(labels, tmp_path):
    """A run may reuse what a killed run has judged, so the run of a row is not the one that cut its layers."""
    bank = StreakLayers(str(tmp_path))
    labels.commit([row(5, zarr_group="pseudo/killed-1.zarr")], replace=False)
    for value, name in enumerate(("killed-1", "r5")):
        bank.write(name, [np.full((8, 8), value, np.uint8)], ["x"], {})
    assert [int(layer[0, 0]) for _, layer in bank.read(most=9).layers] == [0]


def test_no_more_files_are_read_than_needed(labels, tmp_path):
    bank = StreakLayers(str(tmp_path))
    rows = [row(number, f"x{number}", zarr_group=f"pseudo/g{number}.zarr") for number in range(6)]
    labels.commit(rows, replace=False)
    for number in range(6):
        layers = [np.full((8, 8), number, np.uint8)] * 2
        bank.write(f"g{number}", layers, [f"x{number}"] * 2, {})
    found = bank.read(most=3).layers
    assert len(found) == 4
    assert [crop_id for crop_id, _ in found] == [crop_id for crop_id, _ in bank.read(most=3).layers]
    assert len(bank.read(most=99).layers) == 12


def test_layers_of_a_removed_group_are_removed(tmp_path):
    bank = StreakLayers(str(tmp_path))
    for name in ("r0", "r1"):
        bank.write(name, [], [], {name: 1})
    bank.remove({"pseudo/r0.zarr"})
    assert bank.read(most=9).refused == {"r1": 1}


def test_a_damaged_bank_is_named(tmp_path):
    (tmp_path / "streaks").mkdir()
    (tmp_path / "streaks" / "r0.safetensors").write_bytes(b"none")
    with pytest.raises(TransientError, match=r"r0\.safetensors: damaged"):
        StreakLayers(str(tmp_path)).read(most=9)


def test_a_later_decision_counts_though_its_clock_was_behind(labels):
    labels.commit([row(9)], replace=False)
    assert labels.accepted().height == 1
    labels.commit([rejected(1, by="reject")], replace=False)  # dated before what it rejects
    assert labels.accepted().height == 0
