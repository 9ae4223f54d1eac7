"""Listings of servers that answer in another way than Amazon's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from infra.errors import RetryPolicy, StorageError
from infra.storage import s3
from infra.storage.location import open_location
from infra.storage.s3 import S3Location
from infra.storage.s3_listing import entries
from tests.conftest import fresh_bucket
from tests.support.servers.ceph import Gateway
from tests.support.servers.odd_s3 import OddS3, listing_by_the_first_version, odd_s3

KEYS = ["a b.jpg", "a+b.jpg", "b/c.jpg", "é.jpg", "日本.jpg"]


@pytest.fixture(scope="module")
def odd_server() -> Iterator[tuple[OddS3, Gateway]]:
    with odd_s3() as running:
        yield running


def test_a_server_that_knows_only_the_first_version_lists_every_object(
    odd_server: tuple[OddS3, Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, gateway = odd_server
    location = open_location(f"{fresh_bucket(gateway, monkeypatch)}/photos")
    for key in KEYS:
        location.put(key, b"1")
    server.oddity = listing_by_the_first_version
    assert [ref.key for ref in location.list()] == KEYS


def test_a_listing_that_ends_early_is_an_error() -> None:
    def ask(operation: str, request: Mapping[str, object]) -> dict[str, Any]:
        return {"IsTruncated": True}

    with pytest.raises(StorageError, match=r"^s3://b: the server ends its listing early"):
        list(entries(ask, {"Bucket": "b"}, "s3://b"))


def test_objects_without_etags_are_an_error_that_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    location = S3Location("s3://b", RetryPolicy(budget_seconds=1.0))
    monkeypatch.setattr(s3, "is_amazon", lambda: False)
    monkeypatch.setattr(location, "_ask", lambda *_: {"Contents": [{"Key": "x.jpg", "Size": 1}]})
    monkeypatch.setattr(location, "_retry", lambda _, action: action())
    with pytest.raises(StorageError, match=r"^s3://b: the server lists objects without etags; .*manifest"):
        list(location.list())
