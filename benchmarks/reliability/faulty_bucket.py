"""A bucket of a simulated S3, reached directly or through a proxy that makes one request in ten fail."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import boto3
from moto.server import ThreadedMotoServer

from tests.support.servers.faulty_proxy import FaultyProxy, Weather

SHARE = 0.1


@dataclass(frozen=True, slots=True)
class FaultyBucket:
    """The URL of a bucket, and the environments for direct and for faulty access."""

    url: str
    direct: Mapping[str, str]
    faulty: Mapping[str, str]


@contextmanager
def faulty_bucket(seed: int) -> Iterator[FaultyBucket]:
    """Run a server with an empty bucket, and a proxy in front of it.

    Parameters
    ----------
    seed : int
        Seed of the faults: 500, 503, resets, lost answers, truncated bodies.
    """
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        direct = f"http://{host}:{port}"
        name = f"soak-{uuid.uuid4().hex[:12]}"
        client = boto3.client(
            "s3",
            endpoint_url=direct,
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
        )
        client.create_bucket(Bucket=name)
        client.close()
        with FaultyProxy(direct, Weather(SHARE, seed)) as proxy:
            yield FaultyBucket(f"s3://{name}", _environment(direct), _environment(proxy.endpoint))
    finally:
        server.stop()


def _environment(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
    }
