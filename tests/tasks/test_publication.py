"""The report that a run leaves in the workspace, and its artifacts, when something of them is amiss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from tasks.exports import Export
from tasks.medium import MediumSpec
from tasks.publication import samples
from tests.image_samples import encoded
from tests.samples import record


def test_a_sample_that_cannot_be_shown_by_now_is_left_out(tmp_path: Path) -> None:
    picture = encoded(Image.fromarray(np.zeros((4, 6, 3), np.uint8)), "PNG")
    (tmp_path / "rainy").mkdir()
    (tmp_path / "derained").mkdir()
    for key, data in (("good.png", picture), ("overwritten.png", b"?" * len(picture))):
        (tmp_path / "rainy" / key).write_bytes(data)
        (tmp_path / "derained" / key).write_bytes(picture)
    keys = ("overwritten.png", "x" * 300 + ".png", "good.png")
    rows = [replace(record(key), size_bytes=len(picture), output_key=key) for key in keys]
    spec = MediumSpec(str(tmp_path / "rainy"), str(tmp_path / "derained"), Export("png"), 1000)
    assert [sample.record.key for sample in samples(spec, rows)] == ["good.png"]
