"""Complete runs over folders: images that are derained, skipped and redone."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.catalog.delta.attempts import CatalogError
from infra.catalog.derained import Catalog
from infra.records import DerainRecord
from infra.storage.lease import Lease, LeaseHeld, LeaseLost, lease_location
from models.modelfile import ModelFileInvalid, pack, read_model_file, write_model_file
from tasks.batch.coordinator import BatchRequest, make_plan, plan_line
from tasks.batch.preflight import prepare
from tasks.codec.exports import Export
from tasks.media.sources import Selection
from tasks.refusals import PreflightFailed
from tasks.workers.loaded import loaded_engine, stage_model
from tests.support.samples.images import encoded, picture, reopened
from tests.support.samples.networks import random_network
from tests.support.worlds.batch import World, changed_photo, model_path, outputs


def test_every_image_is_derained_and_has_a_row(world: World) -> None:
    keys = world.put_photos(8)
    summary = world.derain()
    assert (summary.state, summary.counts.derained, summary.counts.pending) == ("Completed", 8, 0)
    made = world.outputs()
    assert sorted(made) == keys
    for row in world.rows():
        rainy, derained = (
            reopened(data) for data in ((world.source / row["key"]).read_bytes(), made[row["key"]])
        )
        assert (rainy.size, rainy.format) == (derained.size, derained.format)
        assert rainy.tobytes() != derained.tobytes()
        assert row["output_sha256"] == hashlib.sha256(made[row["key"]]).hexdigest()
        assert (row["height"], row["width"]) == (derained.height, derained.width)


def test_a_second_run_does_nothing(world: World) -> None:
    world.put_photos(5)
    world.derain()
    rows, written = world.catalog.frame(), _times(world)
    summary = world.derain()
    assert (summary.counts.done_before, summary.counts.derained, summary.state) == (5, 0, "Completed")
    assert world.catalog.frame().equals(rows)
    assert _times(world) == written


def test_a_deleted_output_is_made_again_and_keeps_one_row(world: World) -> None:
    keys = world.put_photos(5)
    world.derain()
    before, rows = world.outputs(), world.rows()
    (world.destination / keys[2]).unlink()
    assert world.derain().counts.derained == 1
    assert (world.outputs(), world.rows()) == (before, rows)


def test_a_changed_image_is_derained_again(world: World) -> None:
    keys = world.put_photos(4)
    world.derain()
    before = world.outputs()
    world.put(keys[1], changed_photo(99))
    assert world.derain().counts.derained == 1
    after = world.outputs()
    assert {key for key in keys if before[key] != after[key]} == {keys[1]}
    assert world.derain().counts.derained == 0


def test_an_image_that_is_what_it_was_before_is_derained_again(world: World) -> None:
    path = world.put("a.png", changed_photo(1))
    first, at_first = path.read_bytes(), path.stat()
    world.derain()
    output = world.outputs()["a.png"]
    path.write_bytes(changed_photo(2) + b"more")
    world.derain()
    assert world.outputs()["a.png"] != output
    path.write_bytes(first)
    os.utime(path, ns=(at_first.st_atime_ns, at_first.st_mtime_ns))
    assert world.derain().counts.derained == 1
    assert world.outputs()["a.png"] == output
    assert len(world.rows()) == 2
    assert world.derain().counts.derained == 0


def test_each_destination_and_each_export_is_filled(world: World) -> None:
    keys = world.put_photos(3)
    world.derain()
    second = world.root / "second"
    assert world.derain(destination=str(second)).counts.derained == 3
    assert outputs(second) == world.outputs()
    assert world.derain(export="png").counts.derained == 3
    assert {f"{key}.png" for key in keys} < set(world.outputs())
    assert len(world.rows()) == 9


def test_another_model_opens_nothing_unless_asked(world: World) -> None:
    world.put_photos(3)
    world.derain()
    before, other = world.outputs(), str(model_path(world.root, seed=1))
    assert world.derain(model=other).counts.derained == 0
    assert world.derain(model=other, redo="stale").counts.derained == 3
    assert all(before[key] != data for key, data in world.outputs().items())
    assert {row["model_digest"] for row in world.rows()} == {_digest(other)}
    assert len(world.rows()) == 3
    assert world.derain(model=other, redo="stale").counts.derained == 0


def test_any_network_derains_and_what_it_cannot_tile_is_rejected(new_world: Callable[..., World]) -> None:
    world = new_world(tile_pixels=65_536)
    path = world.root / "teacher.safetensors"
    write_model_file(pack(random_network("drd-net-tiny"), {}), path)
    keys = world.put_photos(2)
    world.put("large.png", encoded(picture("RGB", height=256, width=257), "PNG"))
    summary = world.derain(model=str(path))
    assert (summary.counts.derained, summary.counts.rejected) == (2, 1)
    assert set(world.outputs()) == set(keys)
    assert {(row["model_name"], row["model_digest"]) for row in world.rows()} == {
        ("teacher", _digest(str(path)))
    }
    assert str(world.reasons()["large.png"]).startswith(
        "more than 65,536 pixels, and drd-net cannot be tiled"
    )
    assert world.derain(redo="rejected").counts.derained == 1


def test_rejected_images_are_skipped_unless_requested(world: World) -> None:
    world.put_photos(2)
    bad = world.put("bad.jpg", b"<html>not found</html>")
    assert world.derain().counts.rejected == 1
    again = world.derain()
    assert (again.counts.rejected, again.counts.done_before) == (0, 3)
    assert world.derain(redo="rejected").counts.rejected == 1
    assert world.reasons()["bad.jpg"] == "HTML, not an image"
    bad.write_bytes(changed_photo(5))
    assert world.derain().counts.derained == 1


def test_globs_and_limit_choose(world: World) -> None:
    world.put_photos(9)
    chosen = world.derain(include=("day/*",), exclude=("*.png",))
    assert set(world.outputs()) == {"day/001.jpg", "day/005.jpg", "day/007.jpg"}
    assert (chosen.counts.listed, chosen.counts.skipped) == (3, 6)
    assert world.derain(limit=2).counts.derained + 3 == len(world.outputs())
    assert world.derain(limit=2).counts.derained == 0


def test_a_plan_changes_nothing(world: World) -> None:
    world.put_photos(4)
    prepared = prepare(
        world.settings, str(world.source), str(world.destination), Export("same"), world.asked.model
    )
    with make_plan(prepared, _request(), Catalog(world.settings.workspace)) as found:
        line = plan_line(found.counts)
    assert line.startswith("4 objects: 0 done, 0 rejected, 4 pending (")
    assert not world.destination.exists()
    assert not (world.root / "workspace").exists()


def test_a_second_run_on_the_destination_is_refused_with_the_holder(world: World) -> None:
    world.put_photos(3)
    leases = lease_location(world.settings.workspace)
    with Lease(leases, str(world.destination), "the-first", 30.0):
        with pytest.raises(LeaseHeld, match=r"run the-first on .*process"):
            world.derain()
        with pytest.raises(LeaseHeld, match=r"derained/day lies inside .*derained, which is being written"):
            world.derain(destination=str(world.destination / "day"))
        assert world.derain(destination=str(world.root / "elsewhere")).counts.derained == 3
    assert not world.destination.exists()
    assert world.derain().counts.derained == 3
    assert len(world.rows()) == 6


@pytest.mark.parametrize("empty", [True, False])
def test_a_source_without_images_is_refused(world: World, empty: bool) -> None:
    world.source.mkdir()
    if not empty:
        world.put("notes.txt", b"no image")
    with pytest.raises(PreflightFailed, match="no images there"):
        world.derain()
    assert not world.destination.exists()


def test_a_full_disk_is_refused_before_any_work(new_world: Callable[..., World]) -> None:
    world = new_world("full", min_free_bytes=1 << 60)
    world.put_photos(2)
    with pytest.raises(PreflightFailed, match="MB free, but about"):
        world.derain()
    assert not world.destination.exists()


def test_a_damaged_staged_model_is_noticed_and_the_next_run_mends_it(world: World) -> None:
    world.put_photos(1)
    staged = stage_model(read_model_file(model_path(world.root)), "tiny", "file", world.settings.workspace)
    for part, damage in ((".safetensors", b"\0"), (".json", b" ")):
        path = world.root / "workspace" / "models" / f"{staged.digest}{part}"
        path.write_bytes(path.read_bytes()[:-1] + damage + b"\n")
        with pytest.raises(ModelFileInvalid, match="its content has another digest"):
            loaded_engine.__wrapped__(staged, "cpu", 1_000_000)
    assert world.derain().counts.derained == 1
    assert loaded_engine.__wrapped__(staged, "cpu", 1_000_000).batch_images == 1


def test_an_obstacle_to_an_output_is_named_in_its_row(world: World) -> None:
    keys = world.put_photos(4)
    for key in keys[:2]:
        (world.destination / key / "a folder").mkdir(parents=True)
    summary = world.derain()
    assert (summary.counts.derained, summary.counts.rejected) == (2, 2)
    assert summary.counts.rejected_for == {"its output cannot be written": 2}
    assert "cannot be a file" in str(world.reasons()[keys[0]])
    for key in keys[:2]:
        (world.destination / key / "a folder").rmdir()
        (world.destination / key).rmdir()
    assert world.derain(redo="rejected").counts.derained == 2


def test_an_image_that_cannot_be_fetched_stays_pending_without_a_row(world: World) -> None:
    keys = world.put_photos(4)
    manifest = world.root / "manifest.csv"
    lines = [f"{key},etag,{(world.source / key).stat().st_size}" for key in keys]
    manifest.write_text("\n".join(["key,etag,size", *lines, "gone.jpg,etag,9"]))
    base = manifest.rename(world.source / "manifest.csv")
    failed = world.derain(source=str(base))
    assert (failed.state, failed.counts.derained, failed.counts.pending) == ("Failed", 4, 1)
    assert "gone.jpg" in failed.message
    assert sorted(world.reasons()) == keys
    data = changed_photo(7)
    world.put("gone.jpg", data)
    base.write_text("\n".join(["key,etag,size", *lines, f"gone.jpg,etag,{len(data)}"]))
    assert world.derain(source=str(base)).counts.derained == 1


@pytest.mark.parametrize("fault", [CatalogError("catalog away"), LeaseLost("lease lost")])
def test_a_wave_that_cannot_be_recorded_leaves_its_images_pending(
    world: World, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    world.put_photos(9)  # one wave has at most six of their shards
    commit, commits = Catalog.commit, []

    def fail_later(catalog: Catalog, records: Sequence[DerainRecord], *, replace: bool) -> None:
        commits.append(len(records))
        if len(commits) > 1:
            raise fault
        commit(catalog, records, replace=replace)

    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "commit", fail_later)
        failed = world.derain()
    assert (failed.state, failed.counts.derained, failed.counts.pending) == ("Failed", commits[0], commits[1])
    assert failed.message.startswith(f"{commits[1]} images are still pending")
    assert str(fault) in failed.message
    assert world.derain().counts.done_before == commits[0]
    assert len(world.rows()) == 9


def _times(world: World) -> dict[str, int]:
    return {key: (world.destination / key).stat().st_mtime_ns for key in world.outputs()}


def _digest(model: str) -> str:
    return read_model_file(Path(model)).digest


def _request() -> BatchRequest:
    return BatchRequest("plan", datetime.now(UTC), Selection(), "none")
