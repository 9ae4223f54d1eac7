"""MLflow's SQLite file is never recreated where one existed, and moves with its workspace."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from infra.catalog.promotions import Ledger, Promotion
from infra.errors import AccessDenied
from infra.settings import Settings
from infra.storage.rights import refuse_unwritable
from infra.tracking import local_store
from infra.tracking.disk_faults import disk_fault
from infra.tracking.local_store import BACKUP, DATABASE, LocalStore, StoreDamaged
from infra.tracking.registry import STUDENT, Registry
from infra.tracking.runs import Figures, log_figures
from infra.tracking.server import StoreUnwritable, TrackingServer, TrackingUnreachable
from tasks.refusals import PreflightFailed
from tasks.resolved_model import resolve_model
from tests.support.servers.other_user import as_another_user, open_folder

CHAMPION = f"models:/{STUDENT}@champion"


@pytest.fixture
def home(tracking_tables: Path, tmp_path: Path) -> Path:
    """Return a workspace with a registered champion."""
    home = tmp_path / "work space"
    shutil.copytree(tracking_tables, home)
    registry(home).register_shipped(b"weights", b"config")
    return home


def settings_of(home: Path) -> Settings:
    return Settings(workspace=str(home), _env_file=None)


def registry(home: Path) -> Registry:
    return Registry(settings_of(home))


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("damage", [lambda path: os.truncate(path, 0), cut_in_half, Path.unlink])
def test_a_damaged_database_is_refused_with_its_backup_and_the_ledger(
    home: Path, damage: Callable[[Path], None]
) -> None:
    database, backup = home / DATABASE, home / BACKUP
    damage(database)
    left = database.read_bytes() if database.exists() else None
    with pytest.raises(StoreDamaged) as refused:
        registry(home).resolve(CHAMPION)
    for named in (str(database), str(backup), f"{home}/catalog/promotions"):
        assert named in str(refused.value)
    assert (database.read_bytes() if database.exists() else None) == left
    shutil.copy(backup, database)
    assert registry(home).resolve(CHAMPION).weights == b"weights"


def test_a_database_is_read_whole_only_if_it_has_changed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[Path] = []
    monkeypatch.setattr(local_store, "_fault", checked.append)
    registry(home).resolve(CHAMPION)
    assert checked == []
    with closing(sqlite3.connect(home / DATABASE)) as connection, connection:  # as another process does
        connection.execute("CREATE TABLE more (id INTEGER)")
    registry(home).resolve(CHAMPION)
    assert checked[0] == home / DATABASE
    checked.clear()
    registry(home).resolve(CHAMPION)
    assert checked == []


def test_a_backup_is_not_replaced_by_a_damaged_database(home: Path) -> None:
    before = (home / BACKUP).read_bytes()
    cut_in_half(home / DATABASE)
    with pytest.raises(StoreDamaged):
        registry(home).resolve(CHAMPION)
    assert (home / BACKUP).read_bytes() == before


def test_a_lost_registry_is_not_recreated_while_the_ledger_has_a_champion(
    tracking_tables: Path, tmp_path: Path
) -> None:
    empty = Path(shutil.copytree(tracking_tables, tmp_path / "workspace"))
    when = datetime(2026, 1, 1, tzinfo=UTC)
    Ledger(str(empty)).append(Promotion(STUDENT, 0, "promoted", "1", "7", "", (), None, "run", when))
    for _ in range(2):
        with pytest.raises(
            PreflightFailed, match=r"derain-student/7 has been champion since .* ledger, .*promotions"
        ):
            resolve_model(settings_of(empty), CHAMPION)
    assert registry(empty).is_empty(STUDENT)


def test_a_workspace_that_was_moved_has_its_artifacts(home: Path) -> None:
    moved = home.rename(home.parent / "elsewhere")
    assert registry(moved).resolve(CHAMPION).weights == b"weights"
    log_figures(settings_of(moved), STUDENT, "run", Figures({}, {"loss": 1.0}, files={"notes.txt": b"text"}))
    assert not home.exists()
    version = registry(moved).register_challenger(STUDENT, b"other", b"config")
    assert registry(moved).resolve(f"models:/{STUDENT}/{version}").weights == b"other"
    assert not home.exists()
    server = TrackingServer(settings_of(moved))
    assert server.client().get_model_version(STUDENT, "1").source.startswith(moved.as_uri())


def test_a_moved_workspace_whose_database_cannot_be_written_is_read_next_to_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = home.rename(home.parent / "elsewhere")
    monkeypatch.setattr(LocalStore, "adopt_moved", lambda self: None)
    assert registry(moved).resolve(CHAMPION).weights == b"weights"
    assert not home.exists()


def test_a_copy_of_a_workspace_writes_into_its_own_artifacts(home: Path) -> None:
    before = sorted(home.rglob("*.safetensors"))
    copy = Path(shutil.copytree(home, home.parent / "copy"))
    registry(copy).register_challenger(STUDENT, b"other", b"config")
    assert sorted(home.rglob("*.safetensors")) == before
    assert registry(home).resolve(CHAMPION).weights == b"weights"


def test_one_workspace_by_two_paths_is_left_as_it_is(home: Path) -> None:
    link = home.parent / "link"
    link.symlink_to(home)
    with closing(sqlite3.connect(home / DATABASE)) as connection:
        query = "SELECT artifact_location FROM experiments ORDER BY 1"
        before = connection.execute(query).fetchall()
        assert registry(link).resolve(CHAMPION).weights == b"weights"
        assert connection.execute(query).fetchall() == before


def test_another_users_workspace_is_refused_in_one_line() -> None:
    with open_folder() as folder:
        home = folder / "workspace"
        (home / "leases").mkdir(parents=True)
        refuse_unwritable(str(home))
        with as_another_user(folder), pytest.raises(AccessDenied) as refused:
            refuse_unwritable(str(home))
    assert str(home / "leases") in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "DERAIN_WORKSPACE" in str(refused.value)


def test_another_users_lock_file_can_be_locked(tracking_tables: Path) -> None:
    with open_folder() as folder:
        shutil.copytree(tracking_tables, folder / "workspace")
        server = TrackingServer(settings_of(folder / "workspace"))
        with as_another_user(folder), server.locked():
            pass
        (folder / "workspace" / "mlflow.lock").unlink()
        with as_another_user(folder), pytest.raises(AccessDenied, match=r"mlflow\.lock: Permission denied"):
            server.locked().__enter__()


@pytest.mark.parametrize(
    ("number", "way_out"),
    [
        (errno.ENOSPC, "No space left on device; make room there, or set DERAIN_WORKSPACE"),
        (errno.EROFS, "Read-only file system; let your group write to the workspace"),
        (errno.EACCES, "Permission denied; let your group write to the workspace"),
    ],
)
def test_a_full_or_read_only_disk_is_no_silent_server(tmp_path: Path, number: int, way_out: str) -> None:
    server = TrackingServer(settings_of(tmp_path))
    with pytest.raises(StoreUnwritable) as refused, server.translate_errors("a model"):
        raise OSError(number, os.strerror(number))
    assert str(refused.value).startswith(f"{tmp_path}: {way_out}")


def test_a_full_disk_under_the_database_is_recognised_by_its_code(tmp_path: Path) -> None:
    server = TrackingServer(settings_of(tmp_path))
    with (
        pytest.raises(StoreUnwritable, match=f"^{tmp_path}: No space left on device"),
        server.translate_errors("a model"),
    ):
        _fill(create_engine("sqlite://"))


def test_a_database_that_cannot_be_opened_is_blamed_on_a_folder_that_is_not_writable() -> None:
    with open_folder() as folder:
        engine, server = create_engine(f"sqlite:///{folder}/a/new.db"), TrackingServer(settings_of(folder))
        with pytest.raises(TrackingUnreachable, match="unable to open"), server.translate_errors("a model"):
            engine.connect()  # its folder is missing
        with (
            as_another_user(folder),
            pytest.raises(StoreUnwritable, match=f"^{folder}: Permission denied; let your group write"),
            server.translate_errors("a model"),
        ):
            create_engine(f"sqlite:///{folder}/new.db").connect()


def test_a_fault_that_an_error_hides_is_not_its_cause(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    hidden, led_to, caused = ValueError("other"), ValueError("other"), ValueError("other")
    hidden.__context__, hidden.__suppress_context__ = full, True
    led_to.__context__ = full
    caused.__cause__ = full
    assert disk_fault(hidden, tmp_path) is None
    assert (
        disk_fault(led_to, tmp_path) == disk_fault(caused, tmp_path) == disk_fault(full, tmp_path) is not None
    )


def test_the_lock_file_of_a_full_disk_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(local_store.os, "open", full)
    with pytest.raises(AccessDenied, match="No space left on device; make room"):
        registry(tmp_path).resolve(CHAMPION)


def _fill(engine: Engine) -> None:
    """Write to a database that may not grow."""
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE pages (content)"))
        connection.execute(text("PRAGMA max_page_count = 3"))
        connection.execute(text("INSERT INTO pages VALUES (zeroblob(100000))"))
