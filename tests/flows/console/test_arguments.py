"""Interpretation of the words after `derain`, and refusals that quote them."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import NoReturn

import pytest

from flows.console.arguments import ArgumentRefused, Collection, OnePhotograph, understand
from infra.errors import UrlRefused


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rainy").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "Urlaub 2024").mkdir()
    for name in ("photo.jpg", "rainy/a.png", "rainy/b[1].png", "v2/.zarray", "v3/zarr.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_a_derained_photograph_goes_next_to_its_source(here: Path) -> None:
    assert understand(["photo.jpg"], "same") == OnePhotograph(
        here / "photo.jpg", here / "photo-derained.jpg", "same"
    )
    assert understand(["photo.jpg"], "png") == OnePhotograph(
        here / "photo.jpg", here / "photo-derained.png", "png"
    )


def test_the_name_of_the_output_decides_its_format(here: Path) -> None:
    for name, export in (("x.png", "png"), ("x.JPG", "same"), ("x.jpeg", "jpeg")):
        assert understand(["photo.jpg", name], "same") == OnePhotograph(
            here / "photo.jpg", here / name, export
        )


@pytest.mark.parametrize("place", ["out", "out/", "new/"])
def test_a_folder_takes_a_photograph_under_its_own_name(here: Path, place: str) -> None:
    expected = here / place.rstrip("/") / "photo.jpg"
    assert understand(["photo.jpg", place], "same") == OnePhotograph(here / "photo.jpg", expected, "same")


def test_a_derained_folder_goes_to_the_destination_or_next_to_its_source(here: Path) -> None:
    assert understand(["rainy", "out"], "same") == Collection(str(here / "rainy"), str(here / "out"))
    assert understand(["rainy/"], "same") == Collection(str(here / "rainy"), str(here / "rainy-derained"))
    assert understand([str(here / "rainy"), "s3://bucket/out/"], "same") == Collection(
        str(here / "rainy"), "s3://bucket/out"
    )


def test_files_of_one_folder_are_taken_literally(here: Path) -> None:
    assert understand(["rainy/a.png", "rainy/b[1].png", "out"], "same") == Collection(
        str(here / "rainy"), str(here / "out"), ("a.png", "b[[]1].png")
    )


@pytest.mark.parametrize("name", ["x.jpg", "x.MPO", "x.jfif"])
def test_one_object_of_a_bucket_is_taken_alone(name: str) -> None:
    assert understand([f"s3://bucket/rainy/{name}", "s3://bucket/out"], "same") == Collection(
        "s3://bucket/rainy", "s3://bucket/out", (name,)
    )


def test_links_to_one_photograph_have_outputs_of_their_own_next_to_the_links(here: Path) -> None:
    (here / "links").mkdir()
    for name in ("x.jpg", "y.jpg"):
        (here / "links" / name).symlink_to(here / "photo.jpg")
    (here / "links" / "z.png").symlink_to(here / "rainy" / "a.png")
    assert understand(["links/x.jpg"], "same") == OnePhotograph(
        here / "links" / "x.jpg", here / "links" / "x-derained.jpg", "same"
    )
    assert understand(["links/x.jpg", "out"], "same") == OnePhotograph(
        here / "links" / "x.jpg", here / "out" / "x.jpg", "same"
    )
    assert understand(["links/x.jpg", "links/y.jpg", "links/z.png", "out"], "same") == Collection(
        str(here / "links"), str(here / "out"), ("x.jpg", "y.jpg", "z.png")
    )
    with pytest.raises(ArgumentRefused, match="is the photograph itself"):
        understand(["links/x.jpg", "photo.jpg"], "same")


def test_a_link_to_a_manifest_is_the_manifest(here: Path) -> None:
    (here / "today.csv").write_text("key,etag,size")
    (here / "list").symlink_to(here / "today.csv")
    assert understand(["list", "out"], "same") == Collection(str(here / "today.csv"), str(here / "out"))


@pytest.mark.parametrize(
    ("places", "says"),
    [
        (["nosuch"], "nosuch: no such file or folder"),
        (["foto.jpg"], "foto.jpg: no such file or folder; did you mean photo.jpg?"),
        (["Urlaub", "2024", "out"], "Urlaub: no such file or folder; did you mean Urlaub 2024? (in quotes"),
        (["./rany/", "out"], "./rany/: no such file or folder; did you mean rainy?"),
        (["rainy", "./rainy"], "./rainy is rainy: "),
        (["rainy", "rainy/out"], "rainy/out lies inside rainy: "),
        (["rainy", "."], ". contains rainy: "),
        (["s3://b/x", "s3://b/x/out"], "s3://b/x/out lies inside s3://b/x: "),
        (["s3://b/x"], "s3://b/x: say where the derained photographs go"),
        (["v2"], "v2: say where the derained photographs go"),
        (["v3"], "v3: say where the derained photographs go"),
        (["photo.jpg", "./photo.jpg"], "photo.jpg is the photograph itself"),
        (["s3://b/x.jpg", "y.jpg"], "y.jpg: an output from or to a bucket keeps the name of its photograph"),
        (["photo.jpg", "s3://b/y.jpg"], "s3://b/y.jpg: an output from or to a bucket keeps the name"),
        (["s3://b/x.jpg", "photo.jpg"], "photo.jpg: the last place is where derained photographs go"),
        (["/"], "/: say where the derained photographs go"),
        (["photo.jpg", "x.gif"], "x.gif: an output is .png, .jpg, or named like its source"),
        (["rainy/a.png", "photo.jpg", "out"], "photo.jpg is in another folder than rainy/a.png"),
        (["photo.jpg", "rainy/a.png", "photo.jpg", "out"], "rainy/a.png is in another folder than photo.jpg"),
        (["rainy/a.png", "rainy", "out"], "rainy: a folder among several places"),
        (["rainy/a.png", "rainy/b[1].png", "photo.jpg"], "photo.jpg: the last place is where"),
        (["rainy", "./photo.jpg"], "./photo.jpg: the last place is where"),
        (
            ["rainy/*.jpg", "out"],
            "rainy/*.jpg: no file matches; for a pattern in quotes, name the folder, rainy, and",
        ),
        (
            ["*.gif"],
            "*.gif: no file matches; for a pattern in quotes, name the folder, ., and --include '*.gif'",
        ),
        (["x" * 300, "out"], ": File name too long; check the name, and the rights"),
        (["rainy", "x" * 300], ": File name too long; check the name, and the rights"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_refusal_quotes_the_typed_words(places: list[str], says: str) -> None:
    with pytest.raises(ArgumentRefused) as refused:
        understand(places, "same")
    assert says in str(refused.value)
    assert "--source" not in str(refused.value)


@pytest.mark.parametrize("places", [["https://example.com/x.jpg"], ["rainy", "gs://bucket/out"]], ids=str)
def test_other_schemes_are_refused_first(here: Path, places: list[str]) -> None:
    with pytest.raises(UrlRefused, match=r"://.*: \w+:// is not supported; use a local path or s3://"):
        understand(places, "same")


def test_a_folder_that_may_not_be_entered_is_one_line(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> NoReturn:  # tests may run as root, who may enter any folder
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", denied)
    with pytest.raises(ArgumentRefused, match=r"rainy: Permission denied; check the name, and the rights"):
        understand(["rainy", "out"], "same")
