"""Splits: a group is never in both, keeps its split over any number of runs, and validation gets its share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.limits import IngestLimits
from tasks.pool.splits import TRAIN, VALIDATION, assign_splits, source_group

Images = st.dictionaries(st.text("abcdefgh/", min_size=1, max_size=3), st.integers(1, 200), max_size=12)


@given(images=Images, share=st.floats(0, 0.9), data=st.data())
def test_settled_groups_stay_and_change_nothing_for_the_others(images, share, data) -> None:
    splits = assign_splits(images, {}, share)
    assert splits.keys() == images.keys()
    seen = data.draw(st.sets(st.sampled_from(sorted(images)))) if images else set()
    assert assign_splits(images, {group: splits[group] for group in seen}, share) == splits


@given(images=Images, share=st.floats(0.05, 0.9))
def test_validation_gets_at_most_its_share_but_of_two_groups_one(images, share) -> None:
    splits = assign_splits(images, {}, share)
    held_out = [group for group, split in splits.items() if split == VALIDATION]
    total = sum(images[group] for group in held_out)
    assert total <= share * sum(images.values()) or held_out == [min(held_out, key=images.__getitem__)]
    assert len(held_out) >= (len(images) > 1)
    assert len(held_out) < max(len(images), 1) or not images


def test_without_a_share_all_is_training() -> None:
    assert set(assign_splits({"a": 1, "b": 9}, {}, 0.0).values()) == {TRAIN}


@pytest.mark.parametrize(
    ("key", "group"),
    [
        ("sirr_042.jpg", "s3://b/sirr_"),
        ("cam1/2024-01-02/000123.png", "s3://b/cam1/2024-01-02/"),
        ("IMG_20240102_123456.jpeg", "s3://b/IMG_20240102_"),
        ("000000012", "s3://b/"),
        ("night/rain", "s3://b/night/rain"),
    ],
)
def test_by_default_a_group_is_the_key_less_its_number(key: str, group: str) -> None:
    assert source_group(IngestLimits().group_pattern, "s3://b", key) == group
    folder, _, name = key.rpartition("/")
    from_further_down = source_group(IngestLimits().group_pattern, f"s3://b/{folder}".rstrip("/"), name)
    assert from_further_down == group


def test_a_pattern_of_ones_own_names_camera_and_day() -> None:
    pattern = r"(cam\d+).*?(\d{4}-\d{2}-\d{2})"
    assert source_group(pattern, "/rain", "site/cam7/x-2024-05-06-001.jpg") == "/rain/cam7/2024-05-06"
    assert source_group(pattern, "/rain", "elsewhere.jpg") == "/rain/"
    assert source_group("cam[0-9]", "/rain", "site/cam7.jpg") == "/rain/cam7"
