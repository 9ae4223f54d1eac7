"""Failures of S3: a real gateway behind a proxy that makes requests fail, and servers that do not exist."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.process import BaseProcess

import pytest

from infra.errors import AccessDenied, ObjectNotFound, RetryPolicy, StorageError
from infra.storage import s3
from infra.storage.credentials import s3_options
from infra.storage.location import open_location
from infra.storage.s3 import S3Location
from tests.support.servers import forked
from tests.support.servers.ceph import Gateway, free_ports
from tests.support.servers.faulty_proxy import HARSH, Fault, FaultyProxy, Weather

QUICK = RetryPolicy(budget_seconds=20.0, first_wait=0.01, longest_wait=0.05)
IMPATIENT = RetryPolicy(budget_seconds=0.3, first_wait=0.01, longest_wait=0.05)
BODY = bytes(range(256)) * 400


@pytest.fixture
def proxy(ceph: Gateway, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    with FaultyProxy(ceph.endpoint) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.endpoint)
        yield running


@pytest.fixture
def patient(bucket: str, proxy: FaultyProxy) -> S3Location:
    return S3Location(f"{bucket}/pre fix", QUICK)


@pytest.fixture
def impatient(bucket: str, proxy: FaultyProxy) -> S3Location:
    return S3Location(f"{bucket}/pre fix", IMPATIENT)


@pytest.mark.parametrize("fault", HARSH)
@pytest.mark.parametrize("times", [1, 2, 3])
def test_every_operation_outlives_faults(
    patient: S3Location, proxy: FaultyProxy, fault: Fault, times: int
) -> None:
    proxy.script("PUT *x%20y*", [fault] * times)
    patient.put("x y", BODY)
    for method in ("GET *x%20y*", "GET *list-type*", "HEAD *x%20y*", "DELETE *x%20y*"):
        proxy.script(method, [fault] * times)
    assert patient.fetch("x y", len(BODY)) == BODY
    assert [ref.key for ref in patient.list()] == ["x y"]
    assert patient.exists("x y")
    patient.delete("x y")
    assert not patient.exists("x y")
    assert proxy.struck() == {fault: 5 * times}
    assert proxy.count("GET *x%20y*") == times + 1


@pytest.mark.parametrize("fault", HARSH)
def test_a_request_that_always_fails_is_a_fault_of_the_world(
    impatient: S3Location, proxy: FaultyProxy, fault: Fault
) -> None:
    impatient.put("x", BODY)
    proxy.script("*", itertools.repeat(fault))
    with pytest.raises(StorageError, match=r"^s3://derain-\w+/pre fix/x: .* \(gave up after \d+ attempts\)$"):
        impatient.fetch("x", len(BODY))
    with pytest.raises(StorageError):
        impatient.put("x", BODY)
    with pytest.raises(StorageError):
        list(impatient.list())
    with pytest.raises(StorageError):
        impatient.check(writable=False)


def test_a_truncated_body_is_never_returned(patient: S3Location, proxy: FaultyProxy) -> None:
    patient.put("x", BODY)
    proxy.script("GET */x", [Fault.TRUNCATED])
    assert patient.fetch("x") == BODY  # nor if the size is unknown
    assert proxy.count("GET */x") == 2


def test_an_object_that_was_replaced_is_not_what_was_listed(patient: S3Location, proxy: FaultyProxy) -> None:
    patient.put("x", BODY)
    with pytest.raises(StorageError, match="instead of the 3 that were listed"):
        patient.fetch("x", 3)
    assert proxy.count("GET */x") == 3


def test_slow_answers_are_waited_for(bucket: str, ceph: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultyProxy(ceph.endpoint, slow_seconds=1.2) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        location = S3Location(bucket, QUICK)
        proxy.script("PUT *", [Fault.SLOW])
        location.put("x", BODY)
        assert proxy.count("PUT *") == 1


def test_too_slow_answers_are_asked_for_again(
    bucket: str, ceph: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(s3.CONFIG, "read_timeout", 1)
    with FaultyProxy(ceph.endpoint, slow_seconds=5) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        location = S3Location(bucket, QUICK)
        location.put("x", BODY)
        proxy.script("GET */x", [Fault.SLOW])
        assert location.fetch("x") == BODY
        assert proxy.count("GET */x") == 2


def test_a_create_whose_answer_was_lost_is_ours(patient: S3Location, proxy: FaultyProxy) -> None:
    proxy.script("PUT */lease", [Fault.LOST])
    assert patient.create("lease", b"held by me")
    assert not patient.create("lease", b"held by you")
    assert patient.fetch("lease") == b"held by me"


def test_a_create_that_lost_is_not_ours_after_a_fault(patient: S3Location, proxy: FaultyProxy) -> None:
    patient.put("lease", b"held by you")
    proxy.script("PUT */lease", [Fault.RESET])
    assert not patient.create("lease", b"held by me")


def test_a_tenth_of_all_requests_failing_loses_nothing(
    bucket: str, ceph: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyProxy(ceph.endpoint, Weather(share=0.1, seed=1)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        location = S3Location(bucket, QUICK)
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda number: location.put(f"{number:03}", b"x" * number), range(200)))
            refs = list(location.list())
            bodies = list(pool.map(lambda ref: location.fetch(ref.key, ref.size_bytes), refs))
        assert bodies == [b"x" * number for number in range(200)]
        assert set(proxy.struck()) == set(HARSH)


def test_listing_goes_page_by_page(patient: S3Location, proxy: FaultyProxy) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: patient.put(f"{number % 7}/{number:04}", b""), range(1100)))
    proxy.calls.clear()
    refs = patient.list()
    assert proxy.count() == 0
    first = next(refs).key
    assert proxy.count("GET *list-type=2*") == 1
    keys = [first, *(ref.key for ref in refs)]
    assert proxy.count("GET *list-type=2*") == 2
    assert keys == sorted(f"{number % 7}/{number:04}" for number in range(1100))


def test_markers_and_neighbours_are_not_listed(bucket: str) -> None:
    whole = open_location(bucket)
    for key in ("photos/", "photos/sub/", "photos2/x.jpg", "photos"):
        whole.put(key, b"")
    whole.put("photos/sub/x.jpg", b"1")
    assert [ref.key for ref in open_location(f"{bucket}/photos/").list()] == ["sub/x.jpg"]


def test_objects_put_by_others_are_listed_at_once(bucket: str) -> None:
    location, other = open_location(bucket), open_location(f"{bucket}/a")
    assert list(location.list()) == []
    other.put("x", b"")
    assert [ref.key for ref in location.list()] == ["a/x"]


def test_a_missing_bucket_is_missing(bucket: str) -> None:
    gone = open_location(f"{bucket}-gone/prefix")
    for writable in (False, True):
        with pytest.raises(ObjectNotFound, match=f"{bucket}-gone/prefix: there is no such bucket"):
            gone.check(writable=writable)
    with pytest.raises(ObjectNotFound):
        list(gone.list())
    with pytest.raises(ObjectNotFound):
        open_location("s3://Not A Bucket").check(writable=False)


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_refused(bucket: str, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "not-the-secret")
    with pytest.raises(AccessDenied, match="set AWS_ACCESS_KEY_ID") as caught:
        open_location(bucket).check(writable=False)
    assert "\n" not in str(caught.value)
    assert not any(secret in str(caught.value) for secret in ("not-the-secret", "testsecret123"))


def test_no_credentials_are_refused_before_anything_is_sent(no_aws: pytest.MonkeyPatch) -> None:
    no_aws.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(AccessDenied, match=r"^s3://bucket: no S3 credentials found; set AWS"):
        open_location("s3://bucket").check(writable=False)


@pytest.mark.parametrize("renewed_by", ["us", "another thread", "nobody"])
def test_renewed_credentials_are_taken_up(
    bucket: str, monkeypatch: pytest.MonkeyPatch, renewed_by: str
) -> None:
    location = open_location(bucket)
    location.put("x", b"1")
    asked, renewed = itertools.count(), []

    def options() -> dict[str, object]:
        is_fresh = (renewed_by == "us" and renewed) or (renewed_by == "another thread" and next(asked) >= 2)
        return s3_options() | ({} if is_fresh else {"key": "expired"})

    monkeypatch.setattr(s3, "s3_options", options)
    monkeypatch.setattr(s3, "renew", lambda: renewed.append(True))
    if renewed_by == "nobody":
        with pytest.raises(AccessDenied, match="InvalidAccessKeyId"):
            location.fetch("x")
    else:
        assert location.fetch("x") == b"1"
    assert renewed == [True]


def test_an_unreachable_endpoint_is_reported(no_aws: pytest.MonkeyPatch) -> None:
    no_aws.setenv("AWS_ACCESS_KEY_ID", "a")
    no_aws.setenv("AWS_SECRET_ACCESS_KEY", "b")
    no_aws.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(StorageError, match=r"^s3://bucket: .*127\.0\.0\.1") as caught:
        open_location("s3://bucket").check(writable=True)
    assert "\n" not in str(caught.value)


def test_an_endpoint_that_never_answers_is_reported(no_aws: pytest.MonkeyPatch) -> None:
    no_aws.setenv("AWS_ACCESS_KEY_ID", "a")
    no_aws.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        no_aws.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        with pytest.raises(StorageError, match="no answer in time"):
            open_location("s3://bucket").check(writable=False)


def test_a_bad_endpoint_is_reported(no_aws: pytest.MonkeyPatch) -> None:
    no_aws.setenv("AWS_ACCESS_KEY_ID", "a")
    no_aws.setenv("AWS_SECRET_ACCESS_KEY", "b")
    no_aws.setenv("AWS_ENDPOINT_URL", "127.0.0.1:9000")
    with pytest.raises(StorageError, match=r"s3://bucket: .*127\.0\.0\.1:9000"):
        open_location("s3://bucket").check(writable=False)


def test_an_endpoint_without_a_scheme_names_its_variable(no_aws: pytest.MonkeyPatch) -> None:
    no_aws.setenv("AWS_ENDPOINT_URL", "127.0.0.1:17480")
    no_aws.setenv("AWS_ACCESS_KEY_ID", "a")
    no_aws.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with pytest.raises(
        StorageError, match=r"AWS_ENDPOINT_URL=127\.0\.0\.1:17480: .*write http://127\.0\.0\.1:17480$"
    ):
        open_location("s3://rainy/photos").check(writable=False)


def test_an_endpoint_that_refuses_is_named_without_the_query(no_aws: pytest.MonkeyPatch) -> None:
    no_aws.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    no_aws.setenv("AWS_ACCESS_KEY_ID", "a")
    no_aws.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with pytest.raises(
        StorageError, match=r"cannot connect to http://127\.0\.0\.1:9; check AWS_ENDPOINT_URL"
    ) as refused:
        S3Location("s3://rainy/photos", RetryPolicy(0.0)).check(writable=False)
    assert "?" not in str(refused.value)


def test_a_location_holds_no_secret(bucket: str) -> None:
    location = open_location(bucket)
    location.put("x", b"1")
    assert b"testsecret123" not in pickle.dumps(location)
    assert "testsecret123" not in repr(vars(location))


def fetch_in_child(location: S3Location, queue: multiprocessing.Queue[tuple[int, bytes]]) -> None:
    queue.put((os.getpid(), location.fetch("x")))


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_processes_open_their_own_client(patient: S3Location, proxy: FaultyProxy, method: str) -> None:
    assert child_that_fetches(patient, proxy, method).exitcode == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_opens_its_own_client(patient: S3Location, proxy: FaultyProxy) -> None:
    child_that_fetches(patient, proxy, "fork")  # its exit code depends on what else the parent had open


def child_that_fetches(location: S3Location, proxy: FaultyProxy, method: str) -> BaseProcess:
    location.put("x", BODY)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=forked.run, args=(*forked.here(), fetch_in_child, (location, queue)))
    child.start()
    pid, body = queue.get(timeout=60)
    child.join(timeout=60)
    assert (pid, body == BODY) == (child.pid, True)
    assert location.fetch("x") == BODY
    assert proxy.count("GET */x") == 2  # neither had to retry: they do not share connections
    return child
