"""An output belongs to the newest row that wrote it, and is done only while it is as it was written."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from infra.catalog.delta.schema import VERSION, records_table
from infra.catalog.derained import TABLE, Catalog
from infra.records import ImageRef, Scope, StoredObject
from infra.storage.location import open_location
from infra.storage.name_folding import NameFolding
from tasks.batch.observing import FlowObserver
from tasks.batch.planning.plan import PlanRequest, plan
from tasks.batch.planning.rivals import refuse_contested
from tasks.media.sources import Selection
from tasks.refusals import PreflightFailed
from tasks.waves.executors import in_process
from tests.support.samples.images import encoded, picture
from tests.support.samples.records import SCOPE, record, ref
from tests.support.worlds.batch import World, changed_photo, model_path, outputs
from tests.support.worlds.batch_driver import derain


def planned(
    catalog: Catalog, listing: list[ImageRef], outputs: list[ImageRef], **changes: object
) -> list[str]:
    request = PlanRequest(SCOPE, Selection(include=("*",)), "none", "model-1", **changes)
    with plan(request, catalog, listing, outputs) as found:
        return [image.key for image in found.refs()]


def digests_match(world: World) -> bool:
    """Return whether each output has the digest in its newest row."""
    made = world.outputs()
    return all(
        hashlib.sha256(made[row["output_key"]]).hexdigest() == row["output_sha256"]
        for row in world.rows()
        if row["export"] == "same-q92" and row["status"] == "derained"
    )


def test_two_sources_in_one_destination_are_refused_by_name(world: World) -> None:
    world.put("x.jpg", encoded(picture("RGB", seed=1), "JPEG"))
    world.derain()
    before, rows = world.outputs(), world.rows()
    other = world.root / "other"
    other.mkdir()
    (other / "x.jpg").write_bytes(encoded(picture("RGB", seed=2), "JPEG"))
    with pytest.raises(PreflightFailed) as refused:
        world.derain(source=str(other))
    for named in (
        f"{other}/x.jpg",
        f"{world.source}/x.jpg",
        f"{world.destination}/x.jpg",
        "another destination",
    ):
        assert named in str(refused.value)
    assert (world.outputs(), world.rows()) == (before, rows)
    assert world.derain().counts.derained == 0


def test_a_source_that_was_moved_in_part_is_refused(world: World) -> None:
    other = world.root / "other"
    other.mkdir()
    for number in range(9):
        world.put(f"{number}.png", changed_photo(number))
        (other / f"{number}.png").write_bytes(changed_photo(20 + number))
    world.derain()
    before = world.outputs()
    for number in range(8):
        (world.source / f"{number}.png").unlink()
    with pytest.raises(PreflightFailed, match=r"other/8\.png and .*rainy/8\.png would both be written to"):
        world.derain(source=str(other))
    assert world.outputs() == before


def test_two_destinations_that_hold_one_output_are_refused(world: World) -> None:
    world.put("sub/x.png", changed_photo(1))
    world.derain()
    other = world.root / "other"
    other.mkdir()
    (other / "x.png").write_bytes(changed_photo(2))
    with pytest.raises(PreflightFailed, match=r"would both be written to .*/derained/sub/x\.png"):
        world.derain(source=str(other), destination=str(world.destination / "sub"))


def test_a_photograph_that_was_derained_as_part_of_another_source_is_named_once(world: World) -> None:
    world.put("day/a.png", changed_photo(1))
    world.put("day/b.png", changed_photo(2))
    world.derain()
    day = {"source": str(world.source / "day"), "destination": str(world.destination / "day")}
    with pytest.raises(PreflightFailed) as refused:
        world.derain(**day)
    assert str(refused.value).startswith(
        f"{world.source}/day/a.png was derained to {world.destination}/day/a.png as a photograph of"
        f" {world.source} (2 images are affected): name that source, "
    )
    assert world.derain().counts.done_before == 2


def test_a_run_with_source_and_destination_swapped_replaces_no_photograph(world: World) -> None:
    keys = world.put_photos(2)
    world.derain()
    rainy = outputs(world.source)
    with pytest.raises(PreflightFailed) as refused:
        world.derain(source=str(world.destination), destination=str(world.source))
    assert str(refused.value).startswith(f"{world.source}/{keys[0]} is an image that was derained from there")
    assert "swapped" in str(refused.value)
    assert outputs(world.source) == rainy
    for key in keys:
        (world.source / key).unlink()
    swapped = world.derain(source=str(world.destination), destination=str(world.source))
    assert swapped.counts.derained == 2


@pytest.mark.parametrize("inner", [True, False], ids=["one folder deeper", "one folder higher"])
def test_swapped_places_one_folder_away_replace_no_photograph_either(world: World, inner: bool) -> None:
    world.put("day/a.png", changed_photo(1))
    source, destination = world.source, world.destination
    if not inner:
        source, destination = source / "day", destination / "day"
    world.derain(source=str(source), destination=str(destination))
    places = (world.destination, world.source) if not inner else (destination / "day", source / "day")
    with pytest.raises(PreflightFailed, match=r"day/a\.png is an image that was derained from there"):
        world.derain(source=str(places[0]), destination=str(places[1]))
    assert outputs(world.source) == {"day/a.png": changed_photo(1)}


def test_outputs_that_were_derained_once_more_are_made_again(world: World) -> None:
    world.put_photos(2)
    world.derain()
    twice = world.root / "twice"
    assert world.derain(source=str(world.destination), destination=str(twice)).counts.derained == 2
    assert world.derain(model=str(model_path(world.root, seed=1)), redo="stale").counts.derained == 2


def test_an_export_that_would_write_over_another_image_is_refused(world: World) -> None:
    world.put("x.jpg", encoded(picture("RGB", seed=1), "JPEG"))
    world.put("x.jpg.png", changed_photo(2))
    world.derain(include=("x.jpg.png",))
    with pytest.raises(
        PreflightFailed, match=r"x\.jpg \(exported as png\) and .*x\.jpg\.png \(as same-q92\)"
    ):
        world.derain(export="png", include=("x.jpg",))


def test_a_source_that_moved_continues_in_its_destination(world: World) -> None:
    world.put_photos(3)
    world.derain()
    moved = world.source.rename(world.root / "moved")
    assert world.derain(source=str(moved)).counts.derained == 3
    assert world.derain(source=str(moved)).counts.done_before == 3


def test_another_quality_is_made_again_each_time_it_is_asked_for(world: World) -> None:
    world.put("x.jpg", encoded(picture("RGB", seed=1, height=64, width=64), "JPEG"))
    world.derain(quality=92)
    fine = world.outputs()
    world.derain(quality=30)
    assert world.outputs() != fine
    again = world.derain(quality=92)
    assert (again.counts.derained, again.counts.done_before) == (1, 0)
    assert world.outputs() == fine
    assert digests_match(world)
    assert world.derain(quality=92).counts.done_before == 1
    assert len(world.rows()) == 2


@pytest.mark.parametrize("left", [b"", b"something else"])
def test_a_truncated_or_replaced_output_is_made_again(world: World, left: bytes) -> None:
    keys = world.put_photos(4)
    world.derain()
    before = world.outputs()
    (world.destination / keys[1]).write_bytes(left)
    assert world.derain().counts.derained == 1
    assert world.outputs() == before
    assert world.derain().counts.done_before == 4


def test_an_object_of_another_etag_is_not_what_was_written(tmp_path: Path) -> None:
    catalog = Catalog(str(tmp_path))
    rows = [record(key, output_size=7, output_etag="written") for key in ("same", "other")]
    catalog.commit(rows, replace=False)
    outputs = [ImageRef("same.png", "written", 7), ImageRef("other.png", "replaced", 7)]
    assert planned(catalog, [ref("same"), ref("other")], outputs) == ["other"]


@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_a_put_returns_what_a_listing_shows(
    place: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    location = open_location(str(tmp_path) if place == "folder" else f"{request.getfixturevalue('moto')}/out")
    stored = location.put("a/x.jpg", b"pixels")
    (listed,) = location.list()
    assert stored == StoredObject(listed.size_bytes, listed.etag if place == "bucket" else None)


def test_an_object_that_was_replaced_by_one_of_its_size_is_made_again(
    moto: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Workers of other tests do not know the address of this server.
    monkeypatch.setattr(FlowObserver, "executor", lambda self, settings, *_: in_process(settings))
    keys = world.put_photos(2)
    settings = world.settings.model_copy(update={"workspace": f"{moto}/workspace"})
    asked = world.asked.but(destination=f"{moto}/out")
    first, second = (derain(settings, asked) for _ in range(2))
    assert (first.counts.derained, second.counts.done_before, second.state) == (2, 2, "Completed")
    location = open_location(f"{moto}/out")
    written = location.fetch(keys[0])
    location.put(keys[0], b"\0" * len(written))
    assert derain(settings, asked).counts.derained == 1
    assert location.fetch(keys[0]) == written


def test_the_order_of_commits_decides_and_no_clock(tmp_path: Path) -> None:
    catalog = Catalog(str(tmp_path))
    catalog.commit([record("k", "e0", minute=10**7)], replace=False)  # its clock was years ahead
    catalog.commit([record("k", "e1", minute=0)], replace=False)
    assert planned(catalog, [ref("k", "e1")], [ref("k.png")]) == []
    assert planned(catalog, [ref("k", "e0")], [ref("k.png")]) == ["k"]


def old_table(catalog: Catalog, rows: list[object]) -> None:
    """Write a table in the form of earlier versions of this project, without the newest columns."""
    written = records_table(rows, TABLE).drop_columns(["output_size", "output_etag"])
    write_deltalake(catalog.url, pa.table(written), mode="append")


def test_a_catalog_of_an_earlier_version_is_continued(tmp_path: Path) -> None:
    catalog = Catalog(str(tmp_path))
    old_table(catalog, [record("a", "e0", minute=10**7), record("a", "e1", minute=1), record("b")])
    assert catalog.frame()["output_size"].to_list() == [None] * 3
    there = [ref("a.png"), ref("b.png")]
    assert planned(catalog, [ref("a", "e0"), ref("b")], there) == []
    assert planned(catalog, [ref("b")], [ImageRef("b.png", "e", 0)]) == ["b"]
    assert VERSION not in DeltaTable(catalog.url).schema().to_arrow().names
    catalog.commit([record("a", "e1", minute=2, output_size=1000)], replace=True)
    catalog.commit([record("c", output_size=1000)], replace=False)
    frame = catalog.frame(["key", "etag", "output_size", VERSION]).sort("key", "etag")
    assert frame["output_size"].to_list() == [None, 1000, None, 1000]
    versions = frame[VERSION].to_list()
    assert versions[0] is versions[2] is None
    assert versions[1] < versions[3]
    assert planned(catalog, [ref("a", "e1"), ref("b"), ref("c")], [*there, ref("c.png")]) == []


def test_the_counts_say_which_model_made_what_is_there(world: World) -> None:
    world.put_photos(3)
    world.derain()
    other = str(model_path(world.root, seed=1))
    summary = world.derain(model=other)
    assert (summary.counts.derained, summary.counts.done_before) == (0, 3)
    assert [(made.name, made.images) for made in summary.made_before] == [("tiny-0", 3)]
    assert "3 done before (by tiny-0 (" in summary.line()
    assert "--redo stale" in summary.line()
    assert "tiny-0" not in world.derain().line()


def test_both_ways_to_write_an_accent_are_one_name_where_they_are_normalised(tmp_path: Path) -> None:
    catalog, keys = Catalog(str(tmp_path)), ["caf\u00e9", "cafe\u0301"]
    assert planned(catalog, [ref(key) for key in keys], []) == keys
    folding = NameFolding(normalises=True)
    assert planned(catalog, [ref(key) for key in keys], [], folding=folding) == keys[:1]


def test_a_rival_whose_source_cannot_be_looked_at_is_taken_to_be_there(
    tmp_path: Path, no_aws: pytest.MonkeyPatch
) -> None:
    catalog = Catalog(str(tmp_path))
    catalog.commit([record("k", source="s3://other")], replace=False)
    request = PlanRequest(SCOPE, Selection(include=("*",)), "none", "model-1")
    with plan(request, catalog, [ref("k")], [ref("k.png")]) as found:
        assert found.contest.images == 1
        with pytest.raises(
            PreflightFailed, match=r"site's/k and s3://other/k would both be written to /tmp/derained"
        ):
            refuse_contested(found.contest, catalog, Scope(SCOPE.source, SCOPE.destination, SCOPE.export))
