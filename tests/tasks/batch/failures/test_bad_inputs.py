"""A folder with all faults of real collections: each image has the right outcome, and none affects another."""

from __future__ import annotations

import os
import struct
import unicodedata
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.samples.images import encoded, photo, picture, png_chunk, png_of, reopened
from tests.support.worlds.batch import World, outputs

JPEG, PNG = encoded(picture("RGB"), "JPEG"), encoded(picture("RGB"), "PNG")


def _bomb() -> bytes:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        png_chunk(name, body) for name, body in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    )


def _animation() -> bytes:
    return encoded(picture("RGB"), "GIF", save_all=True, append_images=[picture("RGB", seed=2)])


REJECTED = {
    "truncated.jpg": (JPEG[: len(JPEG) // 2], "truncated JPEG"),
    "truncated.png": (PNG[: len(PNG) // 2], "truncated PNG"),
    "empty.jpg": (b"", "zero bytes"),
    "page.jpg": (b"<!DOCTYPE html><html>404</html>", "HTML, not an image"),
    "bomb.png": (_bomb(), "3,600 megapixels, over the limit of 300"),
    "animated.gif": (_animation(), "not supported: animation (2 frames)"),
    "still.gif": (
        encoded(picture("RGB"), "GIF"),
        "not supported: GIF as the format of an output; use --export png",
    ),
    "noise.jpg": (bytes(range(256)) * 4, None),
    "document.jpeg": (b"%PDF-1.7 and so on", "PDF, not an image"),
}
"""Rejected images, with the reasons in their rows."""

DERAINED = {
    "one pixel.png": encoded(picture("RGB", height=1, width=1), "PNG"),
    "a thread.png": encoded(picture("RGB", height=20, width=20_000), "PNG"),
    "a pole.jpg": encoded(picture("RGB", height=2000, width=2), "JPEG"),
    "wrong extension.png": JPEG,
    "wrong extension.jpg": PNG,
    "cmyk.jpg": encoded(picture("CMYK"), "JPEG"),
    "deep.png": encoded(Image.fromarray(photo()[..., 0].astype(np.uint16) * 257), "PNG"),
    "deep colour.png": png_of(np.arange(9 * 21).reshape(9, 7, 3).astype(np.uint16) * 300, 2),
    "palette.png": encoded(picture("RGB").quantize(16), "PNG", transparency=3),
    "grey.jpg": encoded(picture("L"), "JPEG"),
    "glass.png": encoded(picture("RGBA"), "PNG"),
    "bits.png": encoded(picture("1"), "PNG"),
    "with space .jpg": JPEG,
    "percent%20encoded.jpg": encoded(picture("RGB", seed=3), "JPEG"),
    "percent encoded.jpg": encoded(picture("RGB", seed=4), "JPEG"),
    "question?mark#hash+plus&and.jpg": JPEG,
    "quote'and\"double.jpg": JPEG,
    "back\\slash.jpg": JPEG,
    "star*[a].jpg": JPEG,
    "line\nbreak.jpg": JPEG,
    "雨の日/ü café ☔.jpg": JPEG,
    unicodedata.normalize("NFD", "é") + ".jpg": encoded(picture("RGB", seed=5), "JPEG"),
    unicodedata.normalize("NFC", "é") + ".jpg": encoded(picture("RGB", seed=6), "JPEG"),
    "case/IMG.jpg": encoded(picture("RGB", seed=7), "JPEG"),
    "case/img.jpg": encoded(picture("RGB", seed=8), "JPEG"),
    "case/img.JPG": encoded(picture("RGB", seed=9), "JPEG"),
    "same/a.jpg": encoded(picture("RGB", seed=10), "JPEG"),
    "same/a.jpeg": encoded(picture("RGB", seed=11), "JPEG"),
    "same/a.png": encoded(picture("RGB", seed=12), "PNG"),
    "same/a.jpg.png": encoded(picture("RGB", seed=13), "PNG"),
    "-starts-with-dash.jpg": JPEG,
    ".hidden.jpg": JPEG,
    "no extension": JPEG,
    "deep/er/and/deep/er/than/most/a.jpg": JPEG,
}

SKIPPED = {
    "Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "case/.DS_Store": b"\0\0\0\1Bud1",
    "._img.jpg": b"a Mac's",
    "notes.txt": b"it rained",
    "no image": b"no extension either",
    "film.mp4": b"\0\0\0\x18ftypmp42",
}


@pytest.fixture
def bad_world(world: World) -> World:
    world.source.mkdir()
    for key, (data, _) in REJECTED.items():
        world.put(key, data)
    for key, data in (DERAINED | SKIPPED).items():
        world.put(key, data)
    listed = {path.relative_to(world.source).as_posix() for path in world.source.rglob("*") if path.is_file()}
    if listed != REJECTED.keys() | DERAINED.keys() | SKIPPED.keys():
        pytest.skip("this file system folds names together")
    return world


def test_each_is_derained_or_skipped_or_a_row_with_a_reason(bad_world: World) -> None:
    summary = bad_world.derain()
    assert (summary.state, summary.message) == ("Completed", "")
    reasons = bad_world.reasons()
    assert {key: reason for key, reason in reasons.items() if reason and key not in REJECTED} == {}
    counts = summary.counts
    assert (counts.derained, counts.rejected, counts.skipped) == (len(DERAINED), len(REJECTED), len(SKIPPED))
    assert (counts.pending, counts.listed) == (0, len(DERAINED) + len(REJECTED))
    made = bad_world.outputs()
    assert made.keys() == DERAINED.keys()
    for key, data in DERAINED.items():
        before, after = reopened(data), reopened(made[key])
        assert (after.size, after.format) == (before.size, before.format), key
    assert {key for key, reason in reasons.items() if reason is None} == DERAINED.keys()
    for key, (_, reason) in REJECTED.items():
        assert reasons[key], key
        assert reason in (None, reasons[key])
    again = bad_world.derain()
    assert (again.counts.derained, again.counts.rejected, again.counts.done_before) == (0, 0, len(reasons))


def test_each_image_has_a_separate_output_in_a_forced_format(bad_world: World) -> None:
    summary = bad_world.derain(export="png")
    made = bad_world.outputs()
    assert summary.counts.derained == len(DERAINED) + 1  # a GIF that does not move can be a PNG
    assert made.keys() == {f"{key}.png" for key in (*DERAINED, "still.gif")}
    assert {reopened(data).format for data in made.values()} == {"PNG"}


def test_good_images_are_derained_as_if_the_bad_ones_were_not_there(bad_world: World, tmp_path: Path) -> None:
    bad_world.derain()
    alone = tmp_path / "alone"
    bad_world.derain(destination=str(alone), exclude=tuple(key.replace("[", "[[]") for key in REJECTED))
    assert outputs(alone) == bad_world.outputs()


@pytest.mark.parametrize(
    "key",
    [
        "../out.png",
        "/etc/out.png",
        "a/../../out.png",
        "a//b.png",
        "./a.png",
        "a\0.png",
        "/etc/passwd",
        "../out",
    ],
)
def test_keys_of_a_manifest_cannot_leave_the_destination(world: World, key: str) -> None:
    world.put("good.png", PNG)
    (world.root / "out.png").write_bytes(PNG)
    before = outputs(world.root)
    lines = [f"{name},etag,{len(PNG)}" for name in ("good.png", key)]
    manifest = world.put("manifest.csv", "\n".join(["key,etag,size", *lines]).encode())
    summary = world.derain(source=str(manifest))
    assert (summary.counts.derained, summary.counts.rejected) == (1, 1)
    assert "is not the name of a file inside" in str(world.reasons()[key])
    assert world.outputs().keys() == {"good.png"}
    after = outputs(world.root)
    new = {name for name in after.keys() - before.keys() if not name.startswith("workspace/")}
    assert new == {"derained/good.png", "rainy/manifest.csv", "tiny-0.safetensors", "tiny-0.json"}


def test_a_key_in_a_manifest_that_is_not_a_file_is_a_row(world: World) -> None:
    world.put("good.png", PNG)
    os.mkfifo(world.source / "pipe.png")
    (world.source / "folder.png").mkdir()
    (world.source / "device.png").symlink_to("/dev/zero")
    (world.source / "folder").mkdir()
    os.mkfifo(world.source / "pipe")
    kinds = {
        "pipe.png": "a named pipe",
        "folder.png": "a folder",
        "device.png": "a device",
        "folder": "a folder",
        "pipe": "a named pipe",
    }
    lines = [f"{name},etag,{len(PNG)}" for name in ("good.png", *kinds)]
    manifest = world.put("manifest.csv", "\n".join(["key,etag,size", *lines]).encode())
    summary = world.derain(source=str(manifest))
    assert (summary.counts.derained, summary.counts.rejected, summary.counts.pending) == (1, 5, 0)
    for name, kind in kinds.items():
        assert f"{name} is {kind}, not a file" in str(world.reasons()[name])


def test_deleted_images_of_a_manifest_do_not_hide_those_after_them(new_world: Callable[..., World]) -> None:
    world = new_world(shard_images=1, wave_shards=1)
    world.put("z.png", PNG)
    names = [*(f"deleted-{number}.png" for number in range(12)), "z.png"]
    lines = [f"{name},etag,{len(PNG)}" for name in names]
    manifest = world.put("manifest.csv", "\n".join(["key,etag,size", *lines]).encode())
    summary = world.derain(source=str(manifest))
    assert (summary.counts.derained, summary.counts.pending) == (1, 12)
    assert world.outputs().keys() == {"z.png"}


def test_a_link_in_the_destination_that_leads_into_the_source_replaces_no_photograph(world: World) -> None:
    for key in ("a/x.png", "b/x.png"):
        world.put(key, PNG)
    (world.source / "b" / "y.png").symlink_to(world.source / "b" / "x.png")
    (world.destination / "b").mkdir(parents=True)
    (world.destination / "a").symlink_to(world.source / "b")
    (world.destination / "b" / "x.png").symlink_to(world.source / "b" / "x.png")
    summary = world.derain()
    assert (summary.counts.derained, summary.counts.rejected) == (2, 1)
    assert f"derained/a/x.png leads into the source {world.source}" in str(world.reasons()["a/x.png"])
    assert (world.source / "b" / "x.png").read_bytes() == PNG
    assert not (world.destination / "b" / "x.png").is_symlink()


def test_links_of_source_and_destination_to_one_folder_replace_no_photograph(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "x.png").write_bytes(PNG)
    world.put("y.png", PNG)
    for folder in (world.source, world.destination):
        folder.mkdir(exist_ok=True)
        (folder / "day").symlink_to(tmp_path / "disk")
    summary = world.derain()
    assert (summary.counts.derained, summary.counts.rejected) == (1, 1)
    assert "are links to one folder: remove that of the destination" in str(world.reasons()["day/x.png"])
    assert (tmp_path / "disk" / "x.png").read_bytes() == PNG


def test_a_name_too_long_for_an_output_is_a_row(world: World) -> None:
    """A valid key in a bucket may be too long for a file name, especially with a new suffix."""
    longest = "x" * 251 + ".jpg"
    world.put(longest, JPEG)
    world.put("short.jpg", JPEG)
    assert world.derain(export="png").counts.rejected == 1
    assert "cannot be a file" in str(world.reasons()[longest])
    assert world.outputs().keys() == {"short.jpg.png"}
