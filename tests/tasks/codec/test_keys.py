"""Output keys: one-to-one, and never outside the destination."""

import os

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tasks.codec import Export, ImageRejected, output_key

EXPORTS = [Export("same"), Export("png"), Export("jpeg")]
parts = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
keys = st.lists(
    st.one_of(parts, st.sampled_from([".", "..", "...", "a", "a.png", "b."])), min_size=1, max_size=4
)
keys = keys.map("/".join)
wild_keys = st.text(st.sampled_from("ab./\\:\0 %C~"), max_size=12)


def accepted(key: str, export: Export) -> str | None:
    try:
        return output_key(key, export)
    except ImageRejected:
        return None


@pytest.mark.parametrize(
    "key",
    ["a b.jpg", "a%20b.jpg", "straße/雨.jpg", "a..jpg", "b/trailing.", "...", "..a/b", "a+b#c?d.jpg", " /x",
     "C:clock 12:30.jpg", "x.derain-1.tmp", "line\nbreak.jpg", "a\\b.jpg", "Photo.JPG", "photo.jpg", "~/a.jpg"],
)  # fmt: skip
def test_good_keys_survive(key):
    assert output_key(key, EXPORTS[0]) == key
    assert output_key(key, EXPORTS[1]) == key + ".png"
    assert output_key(key, EXPORTS[2]) == key + ".jpg"


@pytest.mark.parametrize(
    "key",
    ["", "..", "../a.jpg", "a/../../b.jpg", "a/..", "/a.jpg", "//a", "\\a", "\\\\host\\a", "C:\\a.jpg", "c:/a.jpg",
     "a\0b.jpg", "a//b.jpg", "a/", "./a.jpg", "a/./b.jpg", "a\\..\\b", "..\\b", ".derain-0af3.tmp",
     "a/.derain-0af3.tmp", "bad\udcff.jpg"],
)  # fmt: skip
@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.kind)
def test_bad_keys_are_rejected_with_a_reason(key, export):
    with pytest.raises(ImageRejected) as caught:
        output_key(key, export)
    assert caught.value.reason


@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.kind)
@settings(suppress_health_check=[HealthCheck.filter_too_much])  # most random keys are rejected, as intended
@given(first=st.one_of(keys, wild_keys), second=st.one_of(keys, wild_keys))
def test_one_to_one(export, first, second):
    assume(first != second)
    outputs = [accepted(key, export) for key in (first, second)]
    assume(None not in outputs)
    # Compare not only the strings, but also the files that they name.
    paths = [os.path.normpath(os.path.join("/destination", output)) for output in outputs]
    assert paths[0] != paths[1]


@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.kind)
@given(key=st.one_of(keys, wild_keys))
def test_never_outside_the_destination(export, key):
    output = accepted(key, export)
    assume(output is not None)
    path = os.path.normpath(os.path.join("/destination", output))
    assert path.startswith("/destination/")
    assert path == "/destination/" + output


@given(
    key=st.lists(
        parts.filter(lambda part: part not in (".", "..") and "\\" not in part), min_size=1, max_size=3
    )
)
def test_ordinary_names_are_never_rejected(key):
    joined = "/".join(key)
    assume(joined[1:3] != ":/" and not key[-1].startswith(".derain-"))
    assert output_key(joined, EXPORTS[0]) == joined


def test_keys_that_differ_in_case_or_suffix_stay_apart():
    sources = ["a.jpg", "a.JPG", "A.jpg", "a.png", "a.jpg.png", "a"]
    for export in EXPORTS:
        assert len({output_key(key, export) for key in sources}) == len(sources)
