"""Preflight checks of derain-batch: a fault is reported in one line before any work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.errors import ExclusiveWritesMissing
from infra.settings import Settings
from infra.storage.folder_walk import LinkIntoDestination
from infra.storage.local import LocalLocation
from infra.tracking.registry import CHAMPION_URL
from tasks.batch.preflight import prepare, refuse_full_disk
from tasks.codec.exports import Export
from tasks.refusals import REFUSALS, PreflightFailed
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


@pytest.mark.parametrize(("key", "inside"), [("x.png", ""), ("day/x.png", "/day")], ids=["at", "below"])
def test_a_manifest_of_photographs_in_the_destination_is_refused(world: World, key: str, inside: str) -> None:
    world.put(key, changed_photo(1))
    manifest = world.root / "list.csv"
    manifest.write_text(f"key,etag,size,base\n{key},1,100,{world.source}\n")
    with pytest.raises(PreflightFailed, match="would be treated as rainy, or overwrite them"):
        world.derain(source=str(manifest), destination=f"{world.source}{inside}")
    assert (world.source / key).read_bytes() == changed_photo(1)


def test_the_destination_may_lie_next_to_the_photographs_of_a_manifest(world: World) -> None:
    world.put("day/x.png", changed_photo(1))
    size = (world.source / "day" / "x.png").stat().st_size
    manifest = world.root / "list.csv"
    manifest.write_text(f"key,etag,size\nrainy/day/x.png,1,{size}\n")
    assert world.derain(source=str(manifest), destination=f"{world.root}/out").counts.derained == 1


@pytest.mark.parametrize(
    ("free", "reported"),
    [
        (3e6, ": 3 MB free, but about 15 MB are needed for the outputs, and 268 MB must stay free (D"),
        (270e6, "(DERAIN_MIN_FREE_BYTES); make room, or take fewer images with --limit"),
    ],
    ids=["no room at all", "room for some"],
)
def test_a_full_disk_says_what_needs_the_space_and_names_the_limit_only_if_it_helps(
    free: float, reported: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalLocation, "free_bytes", lambda self: int(free))
    settings = Settings(workspace=world.settings.workspace, _env_file=None)
    with pytest.raises(PreflightFailed) as refused:
        refuse_full_disk(settings, str(world.destination), Export("same"), 10_000_000)
    assert reported in str(refused.value)
    assert ("--limit" in str(refused.value)) == (free > settings.min_free_bytes)


def test_a_full_workspace_asks_for_no_fewer_images(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalLocation, "free_bytes", lambda self: 3_000_000)
    settings = Settings(workspace=world.settings.workspace, _env_file=None)
    with pytest.raises(PreflightFailed, match=r": 3 MB free, but 268 MB must stay free .* make room$"):
        refuse_full_disk(settings, settings.workspace, Export("same"), 0)
