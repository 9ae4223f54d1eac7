"""A remote cluster whose workers do not see the folders of a run is refused before any work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.dask.shared_folders import FolderNotShared, SharedFolder, refuse_unshared_folders
from infra.settings import Settings
from tests.support.servers.dask_cluster import DaskCluster, dask_cluster

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path_factory.mktemp("dask"), workers=1) as running:
        yield running


def look(cluster: str | None, folder: Path) -> None:
    (folder / "rainy").mkdir(exist_ok=True)
    (folder / "rainy" / "a.png").touch()
    settings = Settings(cluster=cluster, _env_file=None)
    places = [str(folder / "derained" / "not yet made"), "s3://bucket/derained"]
    refuse_unshared_folders(settings, read=[str(folder / "rainy"), "s3://bucket"], written=places)


def test_folders_that_workers_see_are_taken(elsewhere: DaskCluster, tmp_path: Path) -> None:
    look(elsewhere.address, tmp_path)
    assert os.listdir(tmp_path) == ["rainy"]  # the check leaves nothing behind


def test_a_folder_that_workers_do_not_see_is_named_with_the_way_out(
    elsewhere: DaskCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "touch", lambda path: None)  # as if it had appeared only on this machine
    (tmp_path / "rainy").mkdir()
    with pytest.raises(FolderNotShared) as refused:
        look(elsewhere.address, tmp_path)
    line = str(refused.value)
    assert line.startswith(
        f"{tmp_path}/derained/not yet made: 1 of 1 workers of {elsewhere.address} do not see"
    )
    assert line.endswith("share it with their hosts under the same path, or use s3://bucket/prefix")


def test_workers_of_this_machine_are_not_asked(tmp_path: Path) -> None:
    look(None, tmp_path)


def test_an_entry_that_is_missing_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert SharedFolder(str(tmp_path), str(tmp_path), ("a.png",), writable=True).fault() is None
    assert SharedFolder(str(tmp_path), str(tmp_path), ("a.png", "b.png"), False).fault() == "do not see"
