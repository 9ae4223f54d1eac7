"""A registered version is found in the SQLite file as MLflow finds it; faults are left to MLflow."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from infra.settings import Settings
from infra.tracking.local_lookup import resolve_here
from infra.tracking.local_store import StoreDamaged
from infra.tracking.registry import CHAMPION, STUDENT, Registry
from infra.tracking.server import ModelNotFound

URLS = [f"models:/{STUDENT}@{CHAMPION}", f"models:/{STUDENT}/1", f"models:/{STUDENT}/2"]


@pytest.fixture
def settings(tracking_tables: Path, tmp_path: Path) -> Settings:
    home = tmp_path / "workspace"
    shutil.copytree(tracking_tables, home)
    settings = Settings(workspace=str(home), _env_file=None)
    registry = Registry(settings)
    registry.register_shipped(b"first", b"config")
    registry.add_version(STUDENT, b"second", b"config")
    registry.move_alias(STUDENT, CHAMPION, "2")
    return settings


@pytest.mark.parametrize("url", URLS)
def test_it_finds_what_mlflow_finds(url: str, settings: Settings, tmp_path: Path) -> None:
    found = resolve_here(settings, url)
    assert found is not None
    assert found == Registry(settings).resolve(url)
    moved = settings.model_copy(update={"workspace": str(tmp_path / "moved")})
    shutil.move(settings.workspace, moved.workspace)
    assert resolve_here(moved, url) == found


@pytest.mark.parametrize("url", [f"models:/{STUDENT}/3", f"models:/{STUDENT}@previous", "models:/other/1"])
def test_an_unknown_version_is_left_to_mlflow(url: str, settings: Settings) -> None:
    assert resolve_here(settings, url) is None


def test_lost_files_and_a_registry_elsewhere_are_left_to_mlflow(settings: Settings, tmp_path: Path) -> None:
    elsewhere = settings.model_copy(update={"tracking_uri": "http://127.0.0.1:9"})
    assert resolve_here(elsewhere, URLS[0]) is None
    assert resolve_here(settings.model_copy(update={"workspace": str(tmp_path / "new")}), URLS[0]) is None
    shutil.rmtree(Path(settings.workspace) / "artifacts")
    assert resolve_here(settings, URLS[0]) is None


def test_an_invalid_name_of_a_version_is_refused(settings: Settings) -> None:
    with pytest.raises(
        ModelNotFound, match="a registered model is models:/name@alias or models:/name/version"
    ):
        resolve_here(settings, "models:/derain-student")


def test_a_damaged_file_is_reported(settings: Settings) -> None:
    (Path(settings.workspace) / "mlflow.db").write_bytes(b"this was a database once " * 1000)
    with pytest.raises(StoreDamaged, match="is damaged"):
        resolve_here(settings, URLS[0])
