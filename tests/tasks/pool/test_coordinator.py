"""Complete ingests in one process without Prefect: images that enter the pool, and reasons for rejecting others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import polars as pl
import pytest
import zarr
from deltalake import DeltaTable

from infra.catalog.delta import compaction
from infra.catalog.derained import Catalog
from infra.catalog.pool_zarr import FOLDER, make_room
from infra.storage.location import open_location
from tasks.pool.report import render_ingest
from tasks.refusals import PreflightFailed
from tests.support.samples.records import record
from tests.support.worlds.ingest import AGAIN, IMAGES, LIMITS, IngestWorld, Left, brighter, new_world, scene


def test_crops_are_the_pixels_of_their_boxes(cameras: IngestWorld) -> None:
    crops = cameras.pool.crops()
    pixels = cameras.pool.pixels(crops)
    assert (crops.height, pixels.shape) == (IMAGES, (IMAGES, 512, 512, 3))
    for row, crop in zip(crops.iter_rows(named=True), pixels, strict=True):
        rgb = cameras.scene_of(row["key"])
        assert (row["top"], row["left"], row["height"], row["width"]) == (0, 0, *rgb.shape[:2])
        np.testing.assert_array_equal(crop[: row["height"], : row["width"]], rgb)
        np.testing.assert_array_equal(crop[row["height"], : row["width"]], rgb[-2])
    group = zarr.open_group(f"{cameras.settings.workspace}/{crops['zarr_group'][0]}", mode="r")
    sizes = np.asarray(group["valid_size"][:])[crops["zarr_row"].to_numpy()]
    np.testing.assert_array_equal(sizes, crops.select("height", "width").to_numpy())
    assert group["rainy"].shards == (64, 512, 512, 3)


def test_images_left_out_have_a_row_with_the_reason(cameras: IngestWorld) -> None:
    reasons = cameras.reasons()
    assert str(reasons["camera-a/999.png"]).startswith("flat (contrast")
    near = [key for key, reason in reasons.items() if reason == "near duplicate"]
    assert sorted(int(Path(key).stem) % AGAIN for key in near) == list(range(0, IMAGES, 4))


def test_no_group_and_no_scene_lies_on_both_sides(cameras: IngestWorld) -> None:
    crops = cameras.pool.crops()
    assert set(crops["split"]) == {"train", "validation"}
    assert crops.group_by("source_group").agg(pl.col("split").n_unique())["split"].to_list() == [1, 1, 1]
    assert crops["perceptual_hash"].n_unique() == crops.height
    assert crops.equals(
        pl.concat([cameras.pool.crops("train"), cameras.pool.crops("validation")]).sort("crop_id")
    )


def test_frames_of_a_camera_are_found_by_the_one_that_is_kept(cameras: IngestWorld) -> None:
    crops = cameras.pool.crops()
    frames = cameras.pool.near_duplicates(crops["image_id"].to_list())
    assert frames.height == IMAGES / 4
    assert set(frames["duplicate_of"]) <= set(crops["image_id"])


def test_again_there_is_nothing_to_do(cameras: IngestWorld, undisturbed: Left) -> None:
    version = cameras.pool.version()
    summary = cameras.ingest(open_executor=mock.Mock(side_effect=AssertionError))
    assert (summary.state, summary.known_before, summary.crops) == ("Completed", summary.listed, 0)
    assert (cameras.pool.version(), cameras.left()) == (version, undisturbed)


def test_the_files_of_many_waves_become_one(
    again: IngestWorld, undisturbed: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "COMPACT_AT", 2)
    assert again.ingest().state == "Completed"
    assert len(DeltaTable(again.pool.url).file_uris()) == 1
    assert again.left() == undisturbed


def test_an_image_that_is_gone_or_changed_stays_pending(world: IngestWorld, monkeypatch: Any) -> None:
    world.put("a.png", scene(1))
    world.put("b.png", scene(2))

    def between(*arguments: Any) -> Any:
        world.put("a.png", brighter(scene(1)))
        (world.source / "b.png").unlink()
        return make_room(*arguments)

    monkeypatch.setattr("tasks.pool.stage.make_room", between)
    summary = world.ingest()
    assert (summary.state, summary.pending, summary.crops, world.pool.count()) == ("Failed", 2, 0, 0)
    monkeypatch.undo()
    assert (world.ingest().accepted, list(world.reasons())) == (1, ["a.png"])


def test_rejected_images_are_inspected_again_on_request(tmp_path: Path) -> None:
    strict = new_world(tmp_path, ingest=LIMITS.model_copy(update={"min_side": 41}))
    strict.put("small.png", scene(1, 40, 48))
    strict.put("large.png", scene(2, 48, 48))
    assert strict.ingest().reasons == {"too small": 1}
    lax = new_world(tmp_path)
    assert lax.ingest().accepted == 0
    assert lax.ingest(redo="rejected").accepted == 1
    assert lax.reasons() == {"small.png": None, "large.png": None}


@pytest.mark.parametrize(
    ("fill", "reported"),
    [
        ({"a.png": 40, "b.png": 200}, "the pool is still empty"),
        ({"rain1.png": None, "rain2.png": None}, "to one source group"),
    ],
)
def test_a_pool_of_no_use_is_reported(world: IngestWorld, fill: dict[str, int | None], reported: str) -> None:
    for number, (key, level) in enumerate(fill.items()):
        world.put(key, scene(number) if level is None else np.full((40, 40, 3), level, np.uint8))
    summary = world.ingest()
    assert summary.state == "Completed"
    assert reported in summary.message


def test_copies_and_bytes_that_are_not_an_image_become_rows(world: IngestWorld) -> None:
    world.put_bytes("a.jpg", b"no image")
    for key in ("b.png", "c.png"):
        world.put(key, scene(3))
    assert world.ingest().accepted == 1
    reasons = world.reasons()
    assert (reasons["b.png"], reasons["c.png"]) == (None, "duplicate")
    assert reasons["a.jpg"]


def test_a_key_that_storage_refuses_is_a_row_and_on_the_page(world: IngestWorld) -> None:
    too_long = "x" * 300 + ".png"
    world.put("a.png", scene(1))
    size = (world.source / "a.png").stat().st_size
    world.put_bytes("list.csv", f"key,etag,size\na.png,1,{size}\n{too_long},2,10\n".encode())
    summary = world.ingest(str(world.source / "list.csv"))
    assert (summary.accepted, summary.rejected) == (1, 1)
    assert too_long in render_ingest(world.settings, summary)


def test_an_empty_source_and_a_missing_one_are_one_line(world: IngestWorld) -> None:
    with pytest.raises(PreflightFailed, match="no images there"):
        world.ingest()
    with pytest.raises(PreflightFailed, match=r"--where .* --source catalog"):
        world.ingest(where="rain_energy > 0")
    with pytest.raises(PreflightFailed, match="no derained image"):
        world.ingest("catalog")
    assert world.objects() == set()


def test_frames_of_an_array_come_in(world: IngestWorld) -> None:
    frames = np.stack([scene(1), brighter(scene(1)), scene(2)])
    url = str(world.root / "film.zarr")
    zarr.create_array(url, data=frames, chunks=(1, *frames.shape[1:]))
    assert world.ingest(url).accepted == 2
    crops = world.pool.crops()
    assert [int(key) for key in crops.sort("key")["key"]] == [0, 2]


def test_images_of_the_catalog_that_meet_a_condition_are_ingested(world: IngestWorld) -> None:
    rows = []
    for number, energy in enumerate([0.5, 0.01, 0.4]):
        key = f"{number}.png"
        world.put(key, scene(number))
        size = (world.source / key).stat().st_size
        rows.append(record(key, source=str(world.source), rain_energy=energy, size_bytes=size))
    rows.append(replace(rows[0], export="jpeg"))
    Catalog(world.settings.workspace).commit(rows, replace=False)
    assert world.ingest("catalog", "rain_energy > 0.1").accepted == 2
    assert set(world.reasons()) == {"0.png", "2.png"}
    with pytest.raises(PreflightFailed, match="--where drizzle > 1: not a condition"):
        world.ingest("catalog", "drizzle > 1")


def test_derained_images_that_were_removed_or_changed_since_are_left_out(world: IngestWorld) -> None:
    for number in range(3):
        world.put(f"{number}.png", scene(number))
    rows = [
        record(ref.key, ref.etag, source=str(world.source), size_bytes=ref.size_bytes)
        for ref in open_location(str(world.source)).list()
    ]
    gone = record("x.png", source=str(world.root / "gone"))
    Catalog(world.settings.workspace).commit([*rows, gone], replace=False)
    (world.source / "0.png").unlink()
    world.put_bytes("1.png", b"something else")
    summary = world.ingest("catalog")
    assert (summary.state, summary.accepted, summary.pending) == ("Completed", 1, 0)
    assert summary.left_out.objects == {"derained, and removed since": 2, "derained, and changed since": 1}


@pytest.fixture
def bucket_world(moto: str, tmp_path: Path) -> IngestWorld:
    open_location(moto).put("warm", b"the preflight has little patience with what is loaded first")
    return new_world(tmp_path, workspace=f"{moto}/workspace")


def test_a_pool_in_a_bucket(bucket_world: IngestWorld) -> None:
    bucket_world.put_cameras(3)
    assert bucket_world.ingest().accepted == 3
    crops = bucket_world.pool.crops()
    for row, crop in zip(crops.iter_rows(named=True), bucket_world.pool.pixels(crops), strict=True):
        expected = bucket_world.scene_of(row["key"])
        np.testing.assert_array_equal(crop[: row["height"], : row["width"]], expected)
    pool = f"{bucket_world.settings.workspace}/{FOLDER}"
    open_location(pool).put("dead.zarr/rainy/c/0/0/0/0", b"half a shard")
    key = next(key for key in bucket_world.objects() if "rainy/c/0" in key and "dead" not in key)
    assert open_location(pool).fetch_part(key, -9) == open_location(pool).fetch(key)[-9:]
    assert bucket_world.ingest().known_before == 5
    assert all("dead" not in key for key in bucket_world.objects())
