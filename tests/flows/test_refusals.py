"""Refusals of derain-batch: the run is Failed with one clear line, and nothing is derained or recorded."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from flows.derain_batch import derain_batch
from infra.catalog.derained import Catalog
from infra.storage.local import LocalLocation
from tasks.media.samples import SAMPLES
from tests.support.servers.deployments import put_photos
from tests.support.servers.prefect_server import PrefectServer

pytestmark = pytest.mark.slow

Case = Callable[[Path, pytest.MonkeyPatch], dict[str, str]]
"""Sets up a fault below a folder that contains `rainy`; returns the flow's parameters."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace that all tests share, so that its registry is created once; no test records in it."""
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture
def place(server: PrefectServer, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("DERAIN_", "AWS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DERAIN_WORKSPACE", str(workspace))
    monkeypatch.setenv("DERAIN_RETRY_SECONDS", "1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent/config")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials")
    put_photos(tmp_path / "rainy", 2)
    return tmp_path


def asked(place: Path, **changes: str) -> dict[str, str]:
    return {"source": str(place / "rainy"), "destination": str(place / "derained"), **changes}


def missing_source(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    return asked(place, source=str(place / "none"))


def empty_source(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    (place / "empty").mkdir()
    return asked(place, source=str(place / "empty"))


def no_images(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    (place / "texts").mkdir()
    (place / "texts" / "a.txt").write_text("no image")
    return asked(place, source=str(place / "texts"))


def only_source(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    return {"source": str(place / "rainy")}


def only_destination(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    return {"destination": str(place / "derained")}


def destination_inside(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    return asked(place, destination=str(place / "rainy" / "derained"))


def source_inside(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    return asked(place, destination=str(place))


def destination_is_a_file(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    (place / "file").write_text("here already")
    return asked(place, destination=str(place / "file"))


def unknown_scheme(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    return asked(place, source="gs://rainy/photos")


def unknown_destination_scheme(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    return asked(place, destination="ftp://derained/photos")


def bucket_without_name(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    return asked(place, source="s3://")


def unreachable_bucket(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    for name, value in (
        ("ENDPOINT_URL", "http://127.0.0.1:9"),
        ("ACCESS_KEY_ID", "a"),
        ("SECRET_ACCESS_KEY", "b"),
    ):
        patch.setenv(f"AWS_{name}", value)
    return asked(place, source="s3://rainy/photos")


def no_credentials(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    return asked(place, source="s3://rainy/photos")


def unknown_model(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    return asked(place, model="models:/derain-studnet@champion")


def unknown_alias(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    return asked(place, model="models:/derain-student@chamipon")


def unknown_version(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    return asked(place, model="models:/derain-student/99")


def malformed_model(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    return asked(place, model="models:/derain-student")


def missing_weights(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    return asked(place, model=str(place / "none.safetensors"))


def silent_registry(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    patch.setenv("DERAIN_TRACKING_URI", "http://127.0.0.1:9")
    return asked(place)


def frames_into_photographs(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    frames(place / "frames")
    put_photos(place / "photographs", 1)
    return asked(place, source=str(place / "frames"), destination=str(place / "photographs"))


def photographs_into_frames(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    frames(place / "frames")
    return asked(place, destination=str(place / "frames"))


def frames_as_png(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    frames(place / "frames")
    return asked(place, source=str(place / "frames"), export="png")


def full_disk(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    patch.setattr(LocalLocation, "free_bytes", lambda self: 1000)
    return asked(place)


def manifest_without_etags(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    (place / "rainy" / "list.csv").write_text("key,size\n000.png,100\n")
    return asked(place, source=str(place / "rainy" / "list.csv"))


def missing_manifest(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    return asked(place, source=str(place / "rainy" / "none.csv"))


def impossible_setting(place: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    patch.setenv("DERAIN_WORKERS", "many")
    return asked(place)


CASES: list[tuple[Case, str]] = [
    (missing_source, "{place}/none"),
    (empty_source, "{place}/empty: no images"),
    (no_images, "{place}/texts: no images there (1 other object: 1 .txt"),
    (only_source, "no destination for {place}/rainy: give --destination or set DERAIN_DESTINATION"),
    (only_destination, "no source for {place}/derained: give --source or set DERAIN_SOURCE"),
    (
        destination_inside,
        "destination {place}/rainy/derained and source {place}/rainy lie inside one another",
    ),
    (source_inside, "destination {place} and source {place}/rainy lie inside one another"),
    (destination_is_a_file, "{place}/file"),
    (unknown_scheme, "gs://rainy/photos: gs:// is not supported"),
    (unknown_destination_scheme, "ftp://derained/photos: ftp:// is not supported"),
    (bucket_without_name, "s3://: no bucket; use s3://bucket/prefix"),
    (unreachable_bucket, "s3://rainy"),
    (no_credentials, "s3://rainy/photos: no S3 credentials found; set AWS_ACCESS_KEY_ID"),
    (unknown_model, "models:/derain-studnet@champion: no such model is registered; "),
    (unknown_alias, "models:/derain-student@chamipon: derain-student has no such alias; it has 1 (champion)"),
    (unknown_version, "models:/derain-student/99: derain-student has no such version; it has 1 (champion)"),
    (malformed_model, "models:/derain-student: a registered model is models:/name@alias"),
    (missing_weights, "{place}/none.safetensors: no network of this name ships, and there is no such file"),
    (silent_registry, "http://127.0.0.1:9: the tracking server does not answer"),
    (frames_into_photographs, "{place}/frames is a Zarr array, but destination {place}/photographs"),
    (
        photographs_into_frames,
        "destination {place}/frames is a Zarr array, but {place}/rainy holds photographs",
    ),
    (frames_as_png, "{place}/frames: frames become a Zarr array; leave out --export png"),
    (full_disk, "{place}/derained: 0 MB free"),
    (manifest_without_etags, "{place}/rainy/list.csv"),
    (missing_manifest, "{place}/rainy/none.csv"),
    (impossible_setting, "DERAIN_WORKERS=many"),
]


@pytest.mark.parametrize(("case", "line"), CASES, ids=[case.__name__ for case, _ in CASES])
def test_it_is_refused_with_one_line(
    case: Case, line: str, place: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = case(place, monkeypatch)
    before = contents(place)
    state: Any = derain_batch(**parameters, return_state=True)
    assert state.name == "Failed"
    assert line.format(place=place) in state.message
    assert "\n" not in state.message
    assert "encountered an exception" not in state.message
    assert contents(place) == before
    assert Catalog(str(workspace)).frame().height == 0


def test_a_refused_run_gives_its_lease_back(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = full_disk(place, monkeypatch)
    states: list[Any] = [derain_batch(**parameters, return_state=True) for _ in range(2)]
    assert ["MB free" in state.message for state in states] == [True, True]


def test_a_refused_run_exports_that_it_failed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERAIN_METRICS", str(place / "derain.prom"))
    derain_batch(**unknown_alias(place, monkeypatch), return_state=True)
    line = f'derain_run_failed{{destination="{place / "derained"}"}} 1.0'
    assert line in (place / "derain.prom").read_text().splitlines()


def test_the_last_line_of_a_run_over_the_samples_says_so(place: Path, workspace: Path) -> None:
    state: Any = derain_batch(model="student-small", return_state=True)
    outputs = workspace / "samples" / "derained"
    assert f"; these are the samples, derained to {outputs}; --source and" in state.message
    assert len(list(outputs.iterdir())) == len(SAMPLES)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


def frames(path: Path) -> None:
    array = zarr.create_array(path, shape=(2, 16, 24, 3), chunks=(1, 16, 24, 3), dtype="uint8")
    array[:] = np.zeros((2, 16, 24, 3), np.uint8)
