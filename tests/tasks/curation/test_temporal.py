"""Temporal backgrounds: rain is removed, moving parts are not trusted, unregistrable frames are refused."""

from __future__ import annotations

from typing import NoReturn

import numpy as np
import polars as pl
import pytest
from PIL import Image

from infra.errors import TransientError
from infra.records import ImageRef
from tasks.curation.neighbours import Neighbourhood, neighbourhoods, neighbouring_parts
from tasks.curation.temporal import NotRegistrable, temporal_background
from tasks.media.samples import photograph, rain_on
from tests.support.samples.images import encoded
from tests.support.worlds.pools import RAIN

SIDE = 128
CAT = photograph("chelsea")


def part(down: int = 0, right: int = 0) -> np.ndarray:
    return CAT[60 + down : 60 + down + SIDE, 100 + right : 100 + right + SIDE]


def frames(count: int, shake: int = 0) -> list[np.ndarray]:
    """Return frames of one scene with different rain, from a camera that shakes."""
    moves = np.random.default_rng(0).integers(-shake, shake + 1, (count, 2))
    moves[0] = 0
    return [rain_on(part(*move), number, RAIN) for number, move in enumerate(moves)]


def error(picture: np.ndarray, sure: np.ndarray) -> float:
    return float((np.abs(picture.astype(float) - part()).mean(-1) * sure).sum() / sure.sum())


@pytest.mark.parametrize("shake", [0, 4])
def test_the_rain_is_gone_where_the_scene_stands_still(shake):
    first, *others = frames(9, shake)
    found = temporal_background(first, others)
    assert found.frames >= 7
    assert found.confidence.mean() > 150
    assert error(found.background, found.confidence) < 0.6 * error(first, found.confidence)


def test_moving_parts_are_not_trusted():
    moving = frames(9)
    for number, frame in enumerate(moving):
        block = frame[40:56, 40 + 4 * number : 56 + 4 * number]
        block[:] = block // 2
    found = temporal_background(moving[0], moving[1:])
    assert found.confidence[43:53, 50:75].mean() < 0.5 * found.confidence[90:].mean()


def test_another_scene_is_refused():
    others = [rain_on(photograph("coffee")[40 : 40 + SIDE, :SIDE], number, RAIN) for number in range(6)]
    with pytest.raises(NotRegistrable, match="0 neighbouring frames"):
        temporal_background(part(), others)


def test_too_few_frames_are_refused():
    with pytest.raises(NotRegistrable, match="2 neighbouring frames can be registered, 4 are needed"):
        temporal_background(frames(3)[0], frames(3)[1:], least_frames=5)


def test_a_camera_that_moved_far_is_refused():
    far = [rain_on(part(right=40), number, RAIN) for number in range(5)]
    with pytest.raises(NotRegistrable):
        temporal_background(frames(1)[0], far)


def test_neighbours_are_the_nearest_frames_of_the_same_camera(tmp_path):
    keys = [f"{number:02d}.png" for number in range(8)]
    for number, key in enumerate(keys):
        (tmp_path / key).write_bytes(
            encoded(Image.fromarray(np.full((20, 24, 3), 10 * number, np.uint8)), "PNG")
        )
    (tmp_path / "04.png").write_bytes(b"none")
    listed = pl.DataFrame(
        {
            "source": str(tmp_path),
            "source_group": ["a"] * 7 + ["b"],
            "key": keys,
            "etag": "1",
            "size_bytes": [(tmp_path / key).stat().st_size for key in keys],
        }
    )
    crop = {"crop_id": "x", "source": str(tmp_path), "source_group": "a", "key": "03.png"}
    box = {"image_height": 20, "image_width": 24, "top": 4, "left": 6, "height": 10, "width": 12}
    found = neighbourhoods(pl.DataFrame([crop | box]), listed, 4)["x"]
    assert [ref.key for ref in found.frames] == ["02.png", "04.png", "01.png", "05.png"]
    parts = list(neighbouring_parts(found, 10_000))
    assert [int(each[0, 0, 0]) for each in parts] == [20, 10, 50]  # files that are not images are left out
    assert {each.shape for each in parts} == {(10, 12, 3)}


def test_a_fault_that_passes_is_neither_taken_for_a_missing_frame_nor_remembered(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(np.full((20, 24, 3), 9, np.uint8)), "PNG"))
    ref = ImageRef("a.png", "1", (tmp_path / "a.png").stat().st_size)
    near = Neighbourhood(str(tmp_path), (ref,), (20, 24), 0, 0, 20, 24)

    def fails(*_: object) -> NoReturn:
        raise TransientError("503")

    with monkeypatch.context() as patch:
        patch.setattr("infra.storage.local.LocalLocation.fetch", fails)
        with pytest.raises(TransientError):
            list(neighbouring_parts(near, 10_000))
    assert len(list(neighbouring_parts(near, 10_000))) == 1


def test_a_source_that_is_gone_gives_no_frames(tmp_path):
    ref = ImageRef("a.png", "1", 10)
    gone = Neighbourhood(str(tmp_path / "gone"), (ref,), (20, 24), 0, 0, 20, 24)
    assert list(neighbouring_parts(gone, 10_000)) == []


def test_a_frame_that_was_replaced_since_the_ingest_is_skipped(tmp_path):
    data = encoded(Image.fromarray(np.full((20, 24, 3), 9, np.uint8)), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    near = Neighbourhood(str(tmp_path), (ImageRef("a.png", "1", len(data) + 7),), (20, 24), 0, 0, 20, 24)
    assert list(neighbouring_parts(near, 10_000)) == []
