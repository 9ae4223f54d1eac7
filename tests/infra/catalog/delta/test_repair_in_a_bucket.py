"""A table in a bucket is rebuilt like one in a folder, although a bucket cannot rename objects."""

from __future__ import annotations

import pytest

from infra.catalog.delta.damage import CatalogDamaged
from infra.catalog.delta.repair import repair_table
from infra.catalog.derained import TABLE, Catalog
from infra.errors import StorageError
from infra.storage.location import open_location
from infra.storage.s3 import S3Location
from tests.support.samples.records import record

LOG = "_delta_log/00000000000000000002.json"


@pytest.fixture
def catalog(moto: str) -> Catalog:
    """Return a table of two rows whose last log file is truncated."""
    catalog = Catalog(f"{moto}/work space")
    for key in ("a", "b"):
        catalog.commit([record(key)], replace=False)
    table = open_location(catalog.url)
    table.put(LOG, table.fetch(LOG)[:100])
    return catalog


def workspace_of(catalog: Catalog) -> str:
    return catalog.url.removesuffix("/catalog/derained")


def test_a_damaged_table_is_rebuilt_and_kept(catalog: Catalog) -> None:
    with pytest.raises(CatalogDamaged, match=f"{catalog.url}/{LOG} is truncated or damaged"):
        catalog.frame()
    repaired = repair_table(workspace_of(catalog), TABLE)
    assert (repaired.kept, repaired.lost) == (2, 0)
    assert sorted(catalog.frame()["key"]) == ["a", "b"]
    assert LOG in [ref.key for ref in open_location(repaired.kept_as).list()]
    catalog.commit([record("c")], replace=False)
    assert catalog.frame().height == 3
    assert repair_table(workspace_of(catalog), TABLE).damages == ()


def interrupt_repair(catalog: Catalog, patch: pytest.MonkeyPatch, operation: str, call: int) -> None:
    """Begin a repair whose n-th call of an operation fails."""
    original, calls = getattr(S3Location, operation), []

    def broken(location: S3Location, *arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == call:
            raise StorageError("away")
        return original(location, *arguments)

    patch.setattr(S3Location, operation, broken)
    with pytest.raises(StorageError):
        repair_table(workspace_of(catalog), TABLE)


@pytest.mark.parametrize(("operation", "call"), [("put", 3), ("delete", 2)])
def test_an_interrupted_repair_is_finished_by_the_next(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, operation: str, call: int
) -> None:
    with monkeypatch.context() as patch:
        interrupt_repair(catalog, patch, operation, call)
    with pytest.raises(CatalogDamaged):
        catalog.frame()
    assert repair_table(workspace_of(catalog), TABLE).kept == 2
    assert sorted(catalog.frame()["key"]) == ["a", "b"]


@pytest.mark.parametrize(("operation", "call"), [("put", 3), ("delete", 2)])
def test_so_is_one_of_a_table_whose_log_is_whole(
    moto: str, monkeypatch: pytest.MonkeyPatch, operation: str, call: int
) -> None:
    catalog = Catalog(f"{moto}/damaged data")
    for key in ("a", "b"):
        catalog.commit([record(key)], replace=False)
    table = open_location(catalog.url)
    broken = max(ref.key for ref in table.list() if ref.key.endswith(".parquet"))
    table.put(broken, b"")
    with monkeypatch.context() as patch:
        interrupt_repair(catalog, patch, operation, call)
    repaired = repair_table(workspace_of(catalog), TABLE)
    assert (repaired.kept, repaired.lost) == (1, 1)
    assert catalog.frame().height == 1
