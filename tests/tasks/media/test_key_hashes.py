"""Repeated keys are found among any number of keys, whatever the chunks in which they arrive."""

from __future__ import annotations

from collections import Counter

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.storage.spill import SpillFile
from tasks.media.key_hashes import SeenHashes, hash_texts


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 300), max_size=60), max_size=8))
def test_repeated_keys_are_those_that_occur_twice_in_any_chunk(numbers: list[list[int]]) -> None:
    chunks = [[f"key-{number}" for number in chunk] for chunk in numbers]
    with SpillFile() as file:
        seen = SeenHashes(file)
        for chunk in chunks:
            seen.add(hash_texts(pl.Series(chunk, dtype=pl.String)))
        repeated = seen.repeated()
    counts = Counter(key for chunk in chunks for key in chunk)
    twice = pl.Series([key for key, count in counts.items() if count > 1], dtype=pl.String)
    assert repeated.tolist() == sorted(hash_texts(twice).tolist())
