"""Preflight checks of derain-batch: a fault is reported in one line before any work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.errors import ExclusiveWritesMissing
from infra.settings import Settings
from infra.storage.folder_walk import LinkIntoDestination
from infra.tracking.registry import CHAMPION_URL
from tasks.batch.preflight import prepare
from tasks.codec.exports import Export
from tasks.refusals import REFUSALS
from tests.support.worlds.batch import World, changed_photo


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("x" * 300, "derained"),
        ("rainy", "x" * 300),
        ("circle", "derained"),
        ("rainy", "circle"),
        ("folder.csv", "derained"),
        ("folder.parquet", "derained"),
    ],
)
def test_a_path_that_cannot_be_used_is_one_line(source: str, destination: str, tmp_path: Path) -> None:
    for name in ("rainy", "folder.csv", "folder.parquet"):
        (tmp_path / name).mkdir()
    (tmp_path / "circle").symlink_to(tmp_path / "back")
    (tmp_path / "back").symlink_to(tmp_path / "circle")
    settings = Settings(workspace=str(tmp_path / "var"))
    with pytest.raises(REFUSALS) as refused:
        prepare(settings, str(tmp_path / source), str(tmp_path / destination), Export("same"), CHAMPION_URL)
    bad = destination if source == "rainy" else source
    assert str(tmp_path / bad) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_workspace_that_cannot_keep_two_runs_apart_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put("x.png", changed_photo(1))
    monkeypatch.setattr(os, "link", lambda source, target: os.replace(source, target))
    with pytest.raises(ExclusiveWritesMissing, match=r"workspace: .*two runs could not be kept apart"):
        world.derain()
    assert not world.destination.exists()


def test_a_link_in_the_source_that_leads_into_the_destination_is_refused(world: World) -> None:
    world.put("x.png", changed_photo(1))
    world.destination.mkdir()
    (world.source / "again").symlink_to(world.destination)
    with pytest.raises(LinkIntoDestination, match="rainy/again leads into the destination"):
        world.derain()
    assert list(world.destination.iterdir()) == []
    assert world.derain(exclude=("again/",)).counts.derained == 1
