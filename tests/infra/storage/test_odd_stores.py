"""Stores that deviate from Amazon's, wrong clocks, archives, and file systems with missing features."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest

from infra.errors import (
    AccessDenied,
    CredentialsRefused,
    ExclusiveWritesMissing,
    ObjectArchived,
    ObjectUnreadable,
    RenamingMissing,
    RequestUnsupported,
    RetryPolicy,
    StorageError,
)
from infra.storage import s3
from infra.storage.lease import Lease, check_workspace, lease_location
from infra.storage.local import LocalLocation
from infra.storage.location import open_location
from infra.storage.s3 import S3Location, is_archived
from tests.conftest import fresh_bucket
from tests.support.servers.ceph import Gateway
from tests.support.servers.odd_s3 import (
    Environ,
    Oddity,
    OddS3,
    ignores_conditions,
    odd_s3,
    refusing_all,
    refusing_conditions,
    refusing_reads,
)

QUICK = RetryPolicy(budget_seconds=20.0, first_wait=0.01, longest_wait=0.05)


@pytest.fixture(scope="module")
def odd_server() -> Iterator[tuple[OddS3, Gateway]]:
    with odd_s3() as running:
        yield running


@pytest.fixture
def odd(odd_server: tuple[OddS3, Gateway], monkeypatch: pytest.MonkeyPatch) -> tuple[OddS3, str]:
    server, gateway = odd_server
    server.oddity = None
    bucket = fresh_bucket(gateway, monkeypatch)
    open_location(bucket).delete(
        "x"
    )  # creates the client, which on a busy machine takes longer than a check may
    server.requests.clear()
    return server, bucket


def test_a_store_with_conditional_writes_is_a_workspace(odd: tuple[OddS3, str]) -> None:
    server, bucket = odd
    check_workspace(f"{bucket}/var")
    assert list(open_location(bucket).list()) == []
    with Lease(lease_location(f"{bucket}/var"), "destination", "run", 30.0):
        assert any("/leases/" in request for request in server.requests)


@pytest.mark.parametrize(
    "oddity",
    [
        ignores_conditions,
        refusing_conditions("501 Not Implemented", "NotImplemented"),
        refusing_conditions("400 Bad Request", "InvalidArgument"),
        refusing_conditions("405 Method Not Allowed", "MethodNotAllowed"),
    ],
)
def test_a_store_without_conditional_writes_is_refused_as_a_workspace(
    odd: tuple[OddS3, str], oddity: Oddity
) -> None:
    server, bucket = odd
    server.oddity = oddity
    with pytest.raises(ExclusiveWritesMissing, match=rf"^{bucket}/var: .*two runs could not be kept apart"):
        check_workspace(f"{bucket}/var")
    assert list(open_location(bucket).list()) == []


@pytest.mark.parametrize("status", ["501 Not Implemented", "400 Bad Request"])
def test_an_unsupported_request_is_not_retried(odd: tuple[OddS3, str], status: str) -> None:
    server, bucket = odd
    server.oddity = refusing_all(status, "NotImplemented")
    with pytest.raises(RequestUnsupported, match=rf"^{bucket}/x: .*not support.*NotImplemented"):
        S3Location(bucket, QUICK).put("x", b"1")
    assert len(server.requests) == 1


def test_a_destination_that_may_not_be_written_is_named_and_not_the_probe(odd: tuple[OddS3, str]) -> None:
    server, bucket = odd
    server.oddity = lambda request: ("403 Forbidden", "AccessDenied") if _is_put(request) else None
    with pytest.raises(AccessDenied, match=rf"^{bucket}/derained: access denied \(AccessDenied\)"):
        open_location(f"{bucket}/derained").check(writable=True)


def _is_put(request: Environ) -> bool:
    return request["REQUEST_METHOD"] == "PUT"


@pytest.mark.parametrize("check", ["reads", "writes"])
def test_a_wrong_clock_is_called_a_wrong_clock(odd: tuple[OddS3, str], check: str) -> None:
    server, bucket = odd
    server.oddity = refusing_all("403 Forbidden", "RequestTimeTooSkewed")
    with pytest.raises(StorageError, match="set the clock") as reported:
        open_location(bucket).check(writable=check == "writes")
    assert not any(word in str(reported.value) for word in ("rights", "AWS_ACCESS_KEY_ID", "\n"))


@pytest.mark.parametrize(
    "code", ["QuotaExceeded", "UserSuspended", "AccountProblem", "InvalidPayer", "CrossLocationLoggingProhibited"]
)  # fmt: skip
def test_a_refusal_that_is_not_about_rights_does_not_advise_on_rights(
    odd: tuple[OddS3, str], code: str
) -> None:
    server, bucket = odd
    server.oddity = refusing_all("403 Forbidden", code)
    with pytest.raises(StorageError, match=rf"^{bucket}/x: .*{code}") as reported:
        S3Location(bucket, QUICK).put("x", b"1")
    assert not any(word in str(reported.value) for word in ("rights", "AWS_ACCESS_KEY_ID"))


@pytest.mark.parametrize("code", ["AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId"])
def test_a_refusal_about_rights_advises_on_rights(odd: tuple[OddS3, str], code: str) -> None:
    server, bucket = odd
    server.oddity = refusing_all("403 Forbidden", code)
    with pytest.raises(AccessDenied, match=rf"{code}\); check the rights"):
        open_location(bucket).fetch("x")


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "ExpiredToken", "InvalidToken"])
def test_credentials_that_are_refused_are_not_taken_for_rights_on_an_object(
    odd: tuple[OddS3, str], code: str
) -> None:
    server, bucket = odd
    server.oddity = refusing_all("403 Forbidden", code)
    with pytest.raises(CredentialsRefused, match=rf"{code}\); check the rights"):
        open_location(bucket).fetch("x")


@pytest.mark.parametrize("code", ["KMS.DisabledException", "KMS.NotFoundException", "InvalidRequest"])
def test_an_object_whose_key_cannot_be_used_is_unreadable_at_once(odd: tuple[OddS3, str], code: str) -> None:
    server, bucket = odd
    server.oddity = refusing_reads("400 Bad Request", code)
    with pytest.raises(ObjectUnreadable, match=rf"^{bucket}/x: .*{code}.*check the key that encrypts it"):
        S3Location(bucket, QUICK).fetch("x", 1)
    assert len(server.requests) == 1


def test_a_key_that_cannot_be_used_for_a_write_is_no_fault_of_an_object(odd: tuple[OddS3, str]) -> None:
    server, bucket = odd
    server.oddity = refusing_all("400 Bad Request", "KMS.DisabledException")
    with pytest.raises(StorageError, match=r"KMS\.DisabledException") as reported:
        S3Location(bucket, QUICK).put("x", b"1")
    assert not isinstance(reported.value, ObjectUnreadable)


def test_a_throttled_key_service_is_asked_again(odd: tuple[OddS3, str]) -> None:
    server, bucket = odd
    open_location(bucket).put("x", b"1")
    refuse, refusals = refusing_reads("400 Bad Request", "KMS.ThrottlingException"), iter(range(2))
    server.oddity = lambda request: refuse(request) if next(refusals, None) is not None else None
    assert S3Location(bucket, QUICK).fetch("x", 1) == b"1"


def test_an_object_in_an_archive_is_rejected_at_once(odd: tuple[OddS3, str]) -> None:
    server, bucket = odd
    open_location(bucket).put("x", b"1")
    server.oddity = refusing_reads("403 Forbidden", "InvalidObjectState")
    before = len(server.requests)
    with pytest.raises(ObjectArchived, match=r"^archived; restore it first$"):
        S3Location(bucket, QUICK).fetch("x", 1)
    assert len(server.requests) == before + 1


ENTRIES = [
    ({}, False),
    ({"StorageClass": "STANDARD"}, False),
    ({"StorageClass": "GLACIER_IR"}, False),
    ({"StorageClass": "GLACIER"}, True),
    ({"StorageClass": "DEEP_ARCHIVE", "RestoreStatus": {"IsRestoreInProgress": True}}, True),
    (
        {
            "StorageClass": "GLACIER",
            "RestoreStatus": {"IsRestoreInProgress": False, "RestoreExpiryDate": "tomorrow"},
        },
        False,
    ),
]


@pytest.mark.parametrize(("entry", "archived"), ENTRIES)
def test_the_listing_of_amazon_says_what_is_archived(entry: dict[str, object], archived: bool) -> None:
    assert is_archived(entry) == archived


@pytest.mark.parametrize("amazon", [True, False])
def test_storage_classes_count_on_amazon_alone(
    odd: tuple[OddS3, str], monkeypatch: pytest.MonkeyPatch, amazon: bool
) -> None:
    """On other servers, objects of a class named GLACIER may be readable like any other."""
    _, bucket = odd
    boto3.client("s3").put_object(
        Bucket=bucket.removeprefix("s3://"), Key="x", Body=b"1", StorageClass="GLACIER"
    )
    monkeypatch.setattr(s3, "is_amazon", lambda: amazon)
    assert [ref.archived for ref in open_location(bucket).list()] == [amazon]


def failing(code: int) -> Callable[..., None]:
    def action(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return action


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EINVAL])
def test_a_mount_without_renaming_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(os, "replace", failing(code))
    with pytest.raises(RenamingMissing, match=rf"^{tmp_path}: files cannot be renamed there .*s3://bucket"):
        LocalLocation(str(tmp_path / "derained"), QUICK).check(writable=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES, errno.EINVAL])
def test_a_mount_without_hard_links_is_a_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(os, "link", failing(code))
    check_workspace(str(tmp_path / "var"))
    assert list(tmp_path.iterdir()) == []


def test_a_mount_that_creates_files_twice_is_refused_as_a_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", lambda source, target: os.replace(source, target))
    with pytest.raises(ExclusiveWritesMissing, match="two runs could not be kept apart"):
        check_workspace(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EINVAL])
def test_a_mount_that_cannot_sync_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(os, "fsync", failing(code))
    location = LocalLocation(str(tmp_path), QUICK)
    location.check(writable=True)
    location.put("x", b"1")
    assert location.fetch("x") == b"1"
