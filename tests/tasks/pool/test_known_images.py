"""The index of exact and near duplicates, compared with a search over all pairs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from infra.catalog.pool import Pool
from infra.errors import ARCHIVED
from infra.records import ImageRef
from tasks.pool.known_images import DuplicateIndex, DuplicateMatch, image_id, read_known
from tests.support.samples.pool_rows import pool_row


def _digest(number: int) -> str:
    return hashlib.sha256(bytes([number])).hexdigest()


def test_the_nearest_is_found_if_it_is_near() -> None:
    generator = np.random.default_rng(0)
    hashes = [int(each) for each in generator.integers(0, 2**64, 200, np.uint64)]
    duplicates = DuplicateIndex(near_bits=4)
    for number, value in enumerate(hashes):
        duplicates.add(f"{number:032x}", _digest(number), f"{value:016x}")
    for flips in range(8):
        at = int(generator.integers(200))
        wanted = hashes[at]
        for bit in generator.choice(64, flips, replace=False):
            wanted ^= 1 << int(bit)
        match = duplicates.match(_digest(255), f"{wanted:016x}")
        assert match == (DuplicateMatch(f"{at:032x}", False) if flips <= 4 else None)


def test_among_equal_hashes_the_image_with_the_same_pixels_is_the_duplicate() -> None:
    duplicates = DuplicateIndex(near_bits=2)
    duplicates.add("a" * 32, _digest(1), "0" * 16)
    duplicates.add("b" * 32, _digest(2), "0" * 16)
    assert duplicates.match(_digest(2), "0" * 16) == DuplicateMatch("b" * 32, True)
    assert duplicates.match(_digest(3), "0" * 16) == DuplicateMatch("a" * 32, False)
    duplicates.remove({"a" * 32})
    assert duplicates.match(_digest(3), "0" * 16) == DuplicateMatch("b" * 32, False)
    duplicates.remove({"b" * 32})
    assert duplicates.match(_digest(2), "0" * 16) is None


def test_an_image_is_its_source_key_and_etag() -> None:
    ids = {
        image_id(source, ImageRef(key, etag, 1))
        for source, key, etag in [("s", "k", "e"), ("s", "k", "f"), ("s", "ke", ""), ("sk", "", "e")]
    }
    assert len(ids) == 4
    assert image_id("s", ImageRef("k", "e", 1)) == image_id("s", ImageRef("k", "e", 2))


@pytest.mark.parametrize("reason", [ARCHIVED, "blurred"])
def test_an_image_that_was_archived_is_looked_at_again(tmp_path: Path, reason: str) -> None:
    image, pool = "a" * 32, Pool(str(tmp_path))
    pool.commit([pool_row(f"{image}-0", status="rejected", reason=reason)], replace=False)
    known = read_known(pool, near_bits=4, rejected_too=True)
    assert known.has_archived == (reason == ARCHIVED)
    assert known.are_inspected([image]).tolist() == [reason != ARCHIVED]
