"""Arrays that are not films, or too large, are refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import zarr

from tasks.media.frames import list_frames
from tasks.media.medium import FramesRefused
from tasks.refusals import PreflightFailed
from tests.support.worlds.batch import World, frames
from tests.support.worlds.films import film


def test_a_zarr_v2_array_that_cannot_be_read_is_one_line(world: World) -> None:
    film(world, frames(2), zarr_format=2)
    metadata = json.loads((world.source / ".zarray").read_text())
    metadata["compressor"] = {"id": "unheard-of"}
    (world.source / ".zarray").write_text(json.dumps(metadata))
    with pytest.raises(FramesRefused, match=r"Zarr v2: not a readable array .*unheard-of") as refused:
        world.derain()
    assert "\n" not in str(refused.value)


def test_a_zarr_v2_group_is_one_line(world: World) -> None:
    zarr.create_group(str(world.source), zarr_format=2)
    with pytest.raises(FramesRefused, match=r"Zarr v2 group: not a readable array .*; name one array"):
        world.derain()


def test_a_zarr_v2_array_is_refused_as_a_destination(world: World) -> None:
    film(world, frames(2))
    zarr.create_array(
        str(world.destination), shape=(2, 24, 32, 3), chunks=(1, 24, 32, 3), dtype="uint8", zarr_format=2
    )
    with pytest.raises(FramesRefused, match="was not made by derain-batch"):
        world.derain()


@pytest.mark.parametrize(
    ("pixels", "line"),
    [
        (
            np.zeros((2, 8, 8, 3), np.float32),
            r"\(2, 8, 8, 3\) of float32; frames are \(T, H, W, 3\) of uint8",
        ),
        (np.zeros((2, 8, 8, 3), np.uint16), "of uint16"),
        (np.zeros((2, 8, 8, 4), np.uint8), r"\(2, 8, 8, 4\)"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"\(2, 3, 8, 8\)"),
        (np.zeros((8, 8, 3), np.uint8), r"\(8, 8, 3\)"),
    ],
)
def test_an_array_that_is_not_a_film_is_refused(world: World, pixels: np.ndarray, line: str) -> None:
    film(world, pixels)
    with pytest.raises(FramesRefused, match=line):
        world.derain()
    assert not world.destination.exists()


def test_a_film_without_frames_is_refused(world: World) -> None:
    film(world, np.zeros((0, 8, 8, 3), np.uint8), chunks=(1, 8, 8, 3))
    with pytest.raises(PreflightFailed, match="no images there"):
        world.derain()


@pytest.mark.parametrize(
    ("claim", "limits", "line"),
    [
        (
            {},
            {"max_pixels": 24 * 32 - 1},
            r"a frame of 0.000768 megapixels, over the limit of 0.000767 \(DERAIN_MAX_PIXELS\)",
        ),
        ({"chunks": [10**6, 10**4, 10**4, 3]}, {}, "a chunk of 100,000,000 megapixels"),
        ({"shape": [10**12, 24, 32, 3]}, {}, "1,000,000,000,000 frames, over the limit of 10,000,000"),
        ({"shape": [3, 10**6, 10**6, 3]}, {}, "a frame of 1,000,000 megapixels"),
    ],
    ids=["frame", "chunk", "number", "shape"],
)
def test_metadata_that_claims_too_much_is_refused_before_any_work(
    world: World, claim: dict[str, list[int]], limits: dict[str, int], line: str
) -> None:
    film(world, frames(3))
    metadata = world.source / "zarr.json"
    content = json.loads(metadata.read_text())
    content["shape"] = claim.get("shape", content["shape"])
    if "chunks" in claim:
        content["chunk_grid"]["configuration"]["chunk_shape"] = claim["chunks"]
    metadata.write_text(json.dumps(content))
    strict = World(world.root, world.settings.model_copy(update=limits))
    with pytest.raises(FramesRefused, match=line):
        strict.derain()
    assert not world.destination.exists()


@pytest.mark.parametrize("content", ["{}", "[]", "no json", '{"zarr_format": 3, "node_type": "group"}'])
def test_metadata_that_is_none_is_refused(world: World, content: str) -> None:
    world.put("zarr.json", content.encode())
    with pytest.raises(FramesRefused, match="Zarr v3: not a readable array"):
        list(list_frames(str(world.source)))


def test_frames_need_a_separate_destination(world: World) -> None:
    film(world, frames(2))
    world.destination.mkdir()
    (world.destination / "photo.jpg").write_bytes(b"something else")
    with pytest.raises(PreflightFailed, match="holds other objects"):
        world.derain()
    (world.destination / "photo.jpg").unlink()
    zarr.create_array(str(world.destination), shape=(2, 8, 8, 3), chunks=(1, 8, 8, 3), dtype="uint8")
    with pytest.raises(FramesRefused, match="frames have another size"):
        world.derain()
    zarr.create_array(
        str(world.destination), shape=(2, 24, 32, 3), chunks=(2, 24, 32, 3), dtype="uint8", overwrite=True
    )
    with pytest.raises(FramesRefused, match="one chunk per frame"):
        world.derain()


def test_frames_and_photographs_do_not_mix(world: World, new_world: Callable[..., World]) -> None:
    film(world, frames(2))
    with pytest.raises(PreflightFailed, match="leave out --export png"):
        world.derain(export="png")
    world.derain()
    photographs = new_world("photographs")
    photographs.put_photos(1)
    with pytest.raises(PreflightFailed, match=r"is a Zarr array, but .* holds photographs"):
        photographs.derain(destination=str(world.destination))
