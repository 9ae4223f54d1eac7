"""Retention by settings: old files are removed; new, held or needed files stay, and by default all files do."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable

from infra.catalog.pool import Pool
from infra.operation import Retention
from infra.process_identity import Holder
from infra.settings import Settings
from infra.storage.lease import Lease, LeaseLost, lease_location, lease_of
from infra.storage.lease_file import decode, forget_leases
from infra.storage.location import open_location
from tasks.maintenance import maintain_workspace
from tests.support.worlds.pools import rainy_crops, write_pool

FOLDERS = ("reports", "reviews", "plans", "evaluations", "evaluations/same")
DAYS = Retention(reports_days=30, plans_days=30, evaluations_days=30)


def settings_of(workspace: object, retention: Retention) -> Settings:
    return Settings(workspace=str(workspace), retention=retention, _env_file=None)


def put_old_and_new(workspace: Path) -> None:
    for folder in FOLDERS:
        location = open_location(f"{workspace}/{folder}")
        for name, days in (("old", 31), ("new", 29)):
            location.put(f"{name}.html", b"page")
            when = time.time() - timedelta(days=days).total_seconds()
            os.utime(workspace / folder / f"{name}.html", (when, when))


def test_files_older_than_their_setting_are_removed(tmp_path: Path):
    put_old_and_new(tmp_path)
    removed = maintain_workspace(settings_of(tmp_path, DAYS))
    assert removed.files == {"reports": 2, "plans": 1, "evaluations": 2}
    assert {path.name for path in tmp_path.rglob("*.html")} == {"new.html"}
    assert removed.line() == "removed: 2 files of reports, 1 files of plans, 2 files of evaluations"


def test_by_default_everything_is_kept(tmp_path: Path):
    put_old_and_new(tmp_path)
    removed = maintain_workspace(settings_of(tmp_path, Retention()))
    assert len(list(tmp_path.rglob("old.html"))) == len(FOLDERS)
    assert removed.line().startswith("nothing to remove: no retention is set")


def test_nothing_there_is_nothing_to_remove(tmp_path: Path):
    everything = replace_all(leases_days=1, pool_versions_days=7)
    removed = maintain_workspace(settings_of(tmp_path, everything))
    assert set(removed.files.values()) == {0}


def replace_all(**changes: float) -> Retention:
    return DAYS.model_copy(update=changes)


def test_a_bucket_is_emptied_by_its_own_clock(moto: str):
    location = open_location(f"{moto}/reports")
    location.put("a.html", b"page")
    settings = settings_of(moto, DAYS)
    assert maintain_workspace(settings).files["reports"] == 0
    later = datetime.now(UTC) + timedelta(days=31)
    assert maintain_workspace(settings, later).files["reports"] == 1
    assert list(location.list()) == []


def test_leases_that_nobody_holds_are_removed(tmp_path: Path):
    settings = settings_of(tmp_path, Retention(leases_days=1))
    with lease_of(settings, "/released", "run-1"):
        pass
    later = datetime.now(UTC) + timedelta(days=2)
    with lease_of(settings, "/held", "run-2") as held:
        assert maintain_workspace(settings, later).files == {"leases": 1}
        held.check()
        assert len(list(lease_location(settings.workspace).list())) == 1
    with lease_of(settings, "/released", "run-3") as again:
        again.check()


def test_earlier_versions_of_the_pool_are_forgotten_and_its_crops_stay(tmp_path: Path):
    write_pool(tmp_path, rainy_crops(2))
    pool, settings = Pool(str(tmp_path)), settings_of(tmp_path, Retention(pool_versions_days=7))
    rows = pool.crops()
    table = DeltaTable(pool.url)
    table.delete(f"crop_id = '{rows['crop_id'][0]}'")  # rewrites the only file, and leaves the old one
    earlier = len(list(Path(pool.url).glob("*.parquet")))
    assert maintain_workspace(settings).files == {"earlier pool versions": 0}  # replaced just now
    now = settings.retention.model_copy(update={"pool_versions_days": 0})
    removed = maintain_workspace(settings.model_copy(update={"retention": now}))
    assert removed.files == {"earlier pool versions": 1}
    assert len(list(Path(pool.url).glob("*.parquet"))) == earlier - 1
    assert pool.crops().height == 1


@pytest.mark.parametrize("followers", [1, 2, 3])
def test_one_that_was_frozen_until_its_lease_was_forgotten_notices(
    tmp_path: Path, monkeypatch, followers: int
):
    here = Holder.this_process()
    monkeypatch.setattr(Holder, "this_process", lambda: replace(here, machine="other", host="other-host"))
    monkeypatch.setattr(Lease, "_renew", lambda self: None)
    leases = lease_location(str(tmp_path))
    with Lease(leases, "/there", "run-0", 60):
        pass
    with Lease(leases, "/there", "frozen", 0.1) as frozen, ExitStack() as later:
        time.sleep(0.2)
        assert forget_leases(leases, datetime.now(UTC) + timedelta(days=2)) == 1
        for number in range(followers):  # the second has the number of the frozen one
            later.close()
            later.enter_context(Lease(leases, "/there", f"run-{number}", 60))
        with pytest.raises(LeaseLost):
            frozen.check()
        frozen.__exit__(None, None, None)
        contents = [decode(leases.fetch(ref.key)) for ref in leases.list()]
        assert [content.released for content in contents] == [False], (
            "the frozen one released another one's lease"
        )
