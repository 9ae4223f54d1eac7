"""A folder of the destination that cannot be listed is an error if the catalog has outputs below it."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.catalog.derained import Catalog
from infra.errors import AccessDenied
from infra.storage.name_folding import NameFolding
from tasks.batch.planning.known_outputs import list_outputs
from tests.support.failing_calls import deny_listing
from tests.support.samples.records import record, rejected
from tests.support.worlds.batch import World, changed_photo

LITERAL = NameFolding()


@pytest.fixture
def destination(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for key in ("a.png", "S/x.png", "t/x.png"):
        path = tmp_path / "derained" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"abc")
    deny_listing(monkeypatch, tmp_path / "derained" / "S")
    return str(tmp_path / "derained")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(str(tmp_path / "workspace"))


@pytest.mark.parametrize(
    ("below", "key", "folding"),
    [
        ("", "S/x", LITERAL),
        ("/S", "deep/x", LITERAL),
        ("", "s/x", NameFolding(ignores_case=True)),
    ],
)
def test_a_folder_with_outputs_that_cannot_be_listed_is_an_error(
    destination: str, catalog: Catalog, below: str, key: str, folding: NameFolding
) -> None:
    catalog.commit([record(key, destination=destination + below)], replace=False)
    with pytest.raises(AccessDenied, match=f"^{destination}/S: .*check the owner and the mode"):
        list(list_outputs(catalog, destination, folding))


def test_a_folder_without_outputs_that_cannot_be_listed_is_left_out(
    destination: str, catalog: Catalog
) -> None:
    others = [record("t/x", destination=destination), record("S/x", destination=f"{destination}-2")]
    catalog.commit([*others, rejected("S/bad", destination=destination)], replace=False)
    assert [ref.key for ref in list_outputs(catalog, destination, LITERAL)] == ["a.png", "t/x.png"]


def test_a_run_into_a_folder_that_cannot_be_listed_is_refused_and_makes_nothing_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("a.png", "s/x.png"):
        world.put(key, changed_photo(1))
    world.derain()
    rows = world.catalog.frame()
    with monkeypatch.context() as patch:
        deny_listing(patch, world.destination / "s")
        with pytest.raises(AccessDenied, match=f"^{world.destination}/s: .*check the owner and the mode"):
            world.derain()
    assert world.catalog.frame().equals(rows)
    assert world.derain().counts.done_before == 2


def test_a_folder_of_others_in_the_destination_that_cannot_be_listed_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put("a.png", changed_photo(1))
    world.derain()
    (world.destination / "lost+found").mkdir()
    deny_listing(monkeypatch, world.destination / "lost+found")
    world.put("b.png", changed_photo(2))
    summary = world.derain()
    assert (summary.state, summary.counts.done_before, summary.counts.derained) == ("Completed", 1, 1)
