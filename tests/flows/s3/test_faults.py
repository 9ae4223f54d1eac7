"""An endpoint that disappears, and invalid requests, are reported in one line, and nothing is lost."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from infra.errors import AccessDenied, ObjectNotFound
from tasks.refusals import REFUSALS
from tests.support.servers.dask_cluster import wait_until
from tests.support.servers.faulty_proxy import Fault, FaultyProxy, Weather
from tests.support.worlds.batch import PATIENCE
from tests.support.worlds.buckets import Rain, contents, photographs

pytestmark = [pytest.mark.ceph, pytest.mark.slow]
IMAGES = 24
PUT_OUTPUT = "PUT */out/derained/camera*"
AWAY = Weather(share=1.0, faults=(Fault.RESET,))
KEYS = {
    "with spaces/a b.png": None,
    "per%20cent/100%.png": None,
    "%2e%2e/x.png": None,
    "plus+and&co/?versionId=1#x.png": None,
    "Grüße/日本 🌧.png": None,
    "UPPER.PNG": None,
    "upper.png": None,
    "same.png.png": None,
    "same.png.jpg": None,
    "/leading.png": "the key is an absolute path",
    "double//slash.png": "the key has an empty or . component",
    "./here.png": "the key has an empty or . component",
    "../outside.png": "the key could leave the destination (..)",
    "a/../../../outside.png": "the key could leave the destination (..)",
    "back\\..\\slash.png": "the key could leave the destination (..)",
}
"""Keys that a bucket holds, and why some of them are rejected."""


@pytest.fixture
def impatient(rain: Rain, update_workers: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> Rain:
    monkeypatch.setenv("DERAIN_RETRY_SECONDS", "2")
    update_workers()
    return rain.but(retry_seconds=2.0)  # for a run in a separate process, which reads its settings


def test_an_endpoint_that_goes_away_leaves_the_rest_pending(
    impatient: Rain, proxy: FaultyProxy, tmp_path: Path
) -> None:
    rain = impatient
    with rain.started(tmp_path / "printed") as run:
        wait_until(lambda: proxy.count(PUT_OUTPUT) >= 6, run)
        proxy.weather = AWAY
        assert run.wait(PATIENCE) == 1
    reported = re.search(
        r" (\d+) pending .* images are still pending, run it again", (tmp_path / "printed").read_text()
    )
    with pytest.raises(REFUSALS, match="gave up after"):
        rain.derain()
    proxy.weather = Weather()
    rows = len(rain.rows())
    assert reported
    assert 0 < IMAGES - rows <= int(reported[1])  # a commit whose answer was lost may have arrived
    assert rain.outputs().items() <= rain.expected().items()
    resumed = rain.derain()
    assert (resumed.state, resumed.counts.done_before) == ("Completed", rows)
    rain.assert_done()


def test_hard_keys_are_derained_or_have_a_reason_and_nothing_lands_outside(rain: Rain, bucket: str) -> None:
    pictures = list(photographs(2 * len(KEYS)).values())[1::2]
    rain = replace(rain, source=f"{bucket}/hard", photographs=dict(zip(KEYS, pictures, strict=True))).fill()
    before = set(contents(bucket))
    summary = rain.derain()
    refused = {key for key, reason in KEYS.items() if reason}
    assert (summary.state, summary.counts.rejected) == ("Completed", len(refused))
    assert {row["key"]: row["reason"] for row in rain.rows()} == KEYS
    expected = {key: data for key, data in rain.expected().items() if key not in refused}
    assert rain.outputs() == expected
    new = set(contents(bucket)) - before
    assert {key for key in new if not key.startswith("work space/")} == {
        f"out/derained/{key}" for key in expected
    }
    assert rain.derain().counts.derained == 0


@pytest.mark.parametrize("end", ["source", "destination", "workspace"])
def test_a_missing_bucket_is_reported(rain: Rain, bucket: str, end: str) -> None:
    gone = f"{bucket}-gone/photos"
    wrong = rain.but(workspace=gone) if end == "workspace" else replace(rain, **{end: gone})
    assert_refused(wrong, bucket, ObjectNotFound, f"{gone}: there is no such bucket")


def test_a_wrong_secret_is_reported(rain: Rain, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
        with pytest.raises(AccessDenied, match=r"^s3://.*: access denied .*AWS_ACCESS_KEY_ID") as refused:
            rain.derain()
    assert "wrong-secret" not in str(refused.value)
    assert rain.outputs() == contents(rain.settings.workspace) == {}


@pytest.mark.parametrize("end", ["destination", "workspace"])
def test_a_place_that_cannot_be_written_is_reported(rain: Rain, bucket: str, sealed: str, end: str) -> None:
    wrong = rain.but(workspace=sealed) if end == "workspace" else replace(rain, destination=sealed)
    assert_refused(wrong, bucket, AccessDenied, f"{sealed}: access denied")


@pytest.fixture
def sealed(bucket: str) -> Iterator[str]:
    """Yield a bucket that can be read but not written."""
    name = f"{bucket.removeprefix('s3://')}-sealed"
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket=name)
    forbidden = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{name}/*",
    }
    client.put_bucket_policy(
        Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [forbidden]})
    )
    yield f"s3://{name}"
    client.close()


def assert_refused(rain: Rain, bucket: str, kind: type[Exception], reported: str) -> None:
    """Assert that a run ends before any work, in one line, and changes nothing."""
    before = contents(bucket)
    with pytest.raises(kind, match=reported) as refused:
        rain.derain()
    assert "\n" not in str(refused.value)
    assert contents(bucket) == before
