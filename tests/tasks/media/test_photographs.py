"""Photographs that are rejected without being read."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.storage.location import open_location
from tasks.codec import Export, ImageRejected
from tasks.media.medium import MediumSpec
from tasks.media.photographs import Photographs
from tests.support.samples.images import encoded, picture

GIGABYTE = 10**9


def test_a_file_larger_than_any_photograph_is_rejected_and_never_read(tmp_path: Path) -> None:
    """A video or a disk image with the name of a photograph would fill the memory of its worker."""
    (tmp_path / "a.jpg").write_bytes(encoded(picture("RGB"), "JPEG"))
    with (tmp_path / "disk.jpg").open("wb") as file:
        file.truncate(200 * GIGABYTE)
    medium = Photographs(MediumSpec(str(tmp_path), str(tmp_path / "out"), Export("same"), 10**8))
    photograph, disk = sorted(open_location(str(tmp_path)).list(), key=lambda ref: ref.key)
    assert medium.decode(medium.fetch(photograph)).height == 24
    with pytest.raises(
        ImageRejected,
        match=r"^200,000 MB, more than a photograph of 100 megapixels takes \(DERAIN_MAX_PIXELS\)$",
    ):
        medium.fetch(disk)
