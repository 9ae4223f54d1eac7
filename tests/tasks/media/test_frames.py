"""Complete runs over the frames of a camera, from a Zarr array to a Zarr array."""

from __future__ import annotations

import signal
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr

from infra.storage.zarr_store import open_array
from models.modelfile import pack, read_model_file, write_model_file
from models.networks.student import PRESETS, Student
from tasks.codec import ImageRejected
from tasks.codec.exports import Export
from tasks.media.frames import Frames, list_frames
from tasks.media.medium import MediumSpec
from tasks.refusals import PreflightFailed
from tasks.workers.loaded import StagedModel, loaded_engine, stage_model
from tests.support.worlds.batch import PATIENCE, World, frames, model_path, outputs
from tests.support.worlds.films import film

FILM = (7, 24, 32, 3)
LAYOUTS: dict[str, dict[str, Any]] = {
    "a frame a chunk": {"chunks": (1, 24, 32, 3)},
    "frames in chunks": {"chunks": (3, 10, 32, 3)},
    "sharded": {"chunks": (1, 24, 32, 3), "shards": (4, 24, 32, 3)},
    "not compressed": {"chunks": (2, 24, 32, 3), "compressors": None},
}


def _derained(world: World, pixels: np.ndarray) -> np.ndarray:
    """Return the engine's output for frames, one image at a time."""
    staged: StagedModel = stage_model(
        read_model_file(model_path(world.root)), "tiny", "file", str(world.root / "beside")
    )
    engine = loaded_engine(staged, "cpu", world.settings.tile_pixels)
    return np.concatenate([engine.derain(frame[None]) for frame in pixels])


def _result(world: World) -> np.ndarray:
    return np.asarray(open_array(str(world.destination))[:])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_frames_are_derained_like_images(world: World, layout: str) -> None:
    rainy = frames(FILM[0])
    film(world, rainy, **LAYOUTS[layout])
    summary = world.derain()
    assert (summary.state, summary.counts.derained) == ("Completed", 7)
    np.testing.assert_array_equal(_result(world), _derained(world, rainy))
    assert [row["key"] for row in world.rows()] == [f"{number:09d}" for number in range(7)]
    again = world.derain()
    assert (again.counts.done_before, again.counts.derained) == (7, 0)


V2_CODECS: dict[str, Any] = {
    "zstd": numcodecs.Zstd(),
    "blosc": numcodecs.Blosc("lz4", shuffle=numcodecs.Blosc.BITSHUFFLE),
    "zlib": numcodecs.Zlib(),
    "gzip": numcodecs.GZip(),
    "bz2": numcodecs.BZ2(),
    "lzma": numcodecs.LZMA(),
    "none": None,
}


@pytest.mark.parametrize("codec", V2_CODECS)
def test_frames_of_zarr_v2_are_read_and_a_damaged_one_is_rejected(world: World, codec: str) -> None:
    rainy = frames(3)
    film(world, rainy, zarr_format=2, compressors=V2_CODECS[codec], order="F" if codec == "zlib" else "C")
    (world.source / "2.0.0.0").write_bytes(b"\x1f\x8b not what was written")
    medium = Frames(MediumSpec(str(world.source), str(world.destination), Export("same"), 10**6, frames=True))
    refs = list(list_frames(str(world.source)))
    for ref, frame in zip(refs[:2], rainy, strict=False):
        np.testing.assert_array_equal(medium.decode(medium.fetch(ref)).rgb, frame)
    with pytest.raises(ImageRejected, match="damaged frame"):
        medium.fetch(refs[2])


def test_a_zarr_v2_array_is_derained(world: World) -> None:
    rainy = frames(3)
    film(world, rainy, zarr_format=2, compressors=V2_CODECS["blosc"])
    assert (world.source / ".zarray").exists()
    assert world.derain().counts.derained == 3
    np.testing.assert_array_equal(_result(world), _derained(world, rainy))
    assert world.derain().counts.done_before == 3


def test_the_result_is_an_array_that_any_reader_opens(world: World) -> None:
    rainy = frames(3)
    film(world, rainy)
    world.derain()
    array = zarr.open_array(str(world.destination), mode="r")
    assert (array.shape, array.dtype, array.chunks) == (rainy.shape, np.uint8, (1, *rainy.shape[1:]))
    np.testing.assert_array_equal(array[:], _derained(world, rainy))


def test_a_black_frame_is_read_and_written(world: World) -> None:
    rainy = frames(3)
    rainy[1] = 0
    film(world, rainy)
    assert not (world.source / "c" / "1").exists()  # arrays commonly omit chunks that are all zeros
    assert world.derain().counts.derained == 3
    np.testing.assert_array_equal(_result(world), _derained(world, rainy))


def test_a_frame_that_is_derained_to_black_is_written_and_done(world: World) -> None:
    """A student that finds no rain leaves black unchanged."""
    rainy = frames(3)
    rainy[1] = 0
    film(world, rainy)
    idle = world.root / "idle.safetensors"
    write_model_file(pack(Student(PRESETS["tiny"]), {}), idle)
    assert world.derain(model=str(idle)).counts.derained == 3
    np.testing.assert_array_equal(_result(world), rainy)
    assert (world.destination / "c" / "1" / "0" / "0" / "0").exists()
    assert world.derain(model=str(idle)).counts.done_before == 3


def test_new_frames_of_an_array_that_grows_are_derained(world: World) -> None:
    pictures = frames(9)
    array = film(world, pictures[:4], chunks=(1, 24, 32, 3))
    world.derain()
    first = outputs(world.destination / "c")
    array.resize((9, *FILM[1:]))
    array[4:] = pictures[4:]
    grown = world.derain()
    assert (grown.counts.done_before, grown.counts.derained) == (4, 5)
    np.testing.assert_array_equal(_result(world), _derained(world, pictures))
    after = outputs(world.destination / "c")
    assert first == {key: after[key] for key in first}


UNWRITTEN: dict[str, dict[str, Any]] = {
    **LAYOUTS,
    "v2": {"chunks": (1, 24, 32, 3), "zarr_format": 2},
    "v2 in folders": {"chunks": (2, 10, 32, 3), "chunk_key_encoding": {"name": "v2", "separator": "/"}},
}


@pytest.mark.parametrize("layout", UNWRITTEN)
def test_frames_of_an_array_that_is_filled_later_are_derained_once_they_are_written(
    world: World, layout: str
) -> None:
    pictures = frames(FILM[0])
    array = film(world, np.zeros_like(pictures), **UNWRITTEN[layout])
    step = (array.shards or array.chunks)[0]
    begun = 4 // step * step  # whole chunks, as a writer appends them
    array[:begun] = pictures[:begun]
    assert world.derain().counts.derained == 7
    assert world.derain().counts.done_before == 7
    array[begun:] = pictures[begun:]
    filled = world.derain()
    assert (filled.counts.done_before, filled.counts.derained) == (begun, 7 - begun)
    np.testing.assert_array_equal(_result(world), _derained(world, pictures))
    assert world.derain().counts.done_before == 7


def test_a_frame_that_is_half_written_is_derained_again_once_it_is_whole(world: World) -> None:
    pictures = frames(2)
    array = film(world, np.zeros_like(pictures), chunks=(1, 10, 32, 3))
    array[0], array[1, :10] = pictures[0], pictures[1, :10]
    assert world.derain().counts.derained == 2
    array[1] = pictures[1]
    assert world.derain().counts.derained == 1
    np.testing.assert_array_equal(_result(world), _derained(world, pictures))


def test_another_array_at_the_same_url_is_derained_again(world: World) -> None:
    film(world, frames(3))
    world.derain()
    other = frames(3)[:, ::-1].copy()
    film(world, other, attributes={"camera": "turned"})
    assert world.derain().counts.derained == 3
    np.testing.assert_array_equal(_result(world), _derained(world, other))


def test_source_and_destination_swapped_are_refused(world: World) -> None:
    film(world, frames(2))
    world.derain()
    with pytest.raises(PreflightFailed, match="swapped"):
        world.derain(source=str(world.destination), destination=str(world.source))
    twice = str(world.root / "twice")
    assert world.derain(source=str(world.destination), destination=twice).counts.derained == 2
    other = str(model_path(world.root, seed=1))
    assert world.derain(model=other, redo="stale").counts.derained == 2


def test_globs_and_limit_choose_frames(world: World) -> None:
    film(world, frames(6))
    assert world.derain(limit=2).counts.derained == 2
    assert world.derain(include=("*5",)).counts.derained == 1
    assert world.derain().counts.derained == 3


def test_a_lost_output_frame_is_made_again(world: World) -> None:
    film(world, frames(4))
    world.derain()
    before = outputs(world.destination)
    (world.destination / "c" / "2" / "0" / "0" / "0").unlink()
    assert world.derain().counts.derained == 1
    assert outputs(world.destination) == before


@pytest.mark.parametrize("size", [0, 40])
@pytest.mark.parametrize("layout", ["a frame a chunk", "sharded"])
def test_a_damaged_frame_is_a_row_and_the_others_are_derained(world: World, layout: str, size: int) -> None:
    rainy = frames(7)
    film(world, rainy, **LAYOUTS[layout])
    chunk = world.source / "c" / "1" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:size])
    lost = [1] if layout == "a frame a chunk" else [4, 5, 6]
    summary = world.derain()
    assert (summary.state, summary.counts.rejected) == ("Completed", len(lost))
    reasons = world.reasons()
    assert all(str(reasons[f"{number:09d}"]).startswith("damaged frame") for number in lost)
    kept = [number for number in range(7) if number not in lost]
    np.testing.assert_array_equal(_result(world)[kept], _derained(world, rainy[kept]))


@pytest.mark.slow
def test_a_killed_run_over_frames_is_resumed(world: World) -> None:
    rainy = frames(14)
    film(world, rainy, **LAYOUTS["sharded"])
    token = world.root / "token"
    token.touch()
    process = world.start(f"after-put=c/8/0/0/0:group:{token}")
    process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL
    done = world.catalog.frame().height
    assert world.derain().counts.done_before == done < 14
    np.testing.assert_array_equal(_result(world), _derained(world, rainy))
    assert len(world.rows()) == 14


def test_a_frame_that_grew_too_large_since_is_a_row(world: World) -> None:
    film(world, frames(2))
    spec = MediumSpec(str(world.source), str(world.destination), Export("same"), 24 * 32 - 1, frames=True)
    with pytest.raises(ImageRejected, match="over the limit"):
        Frames(spec).fetch(next(list_frames(str(world.source))))
