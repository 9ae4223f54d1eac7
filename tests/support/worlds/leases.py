"""Leases on one destination, and their files."""

from __future__ import annotations

import json

from infra.storage.lease import (
    Lease,
)
from infra.storage.lease_file import LeaseContent, decode

DESTINATION = "s3://bucket/derained photos"


def lease(leases, run_id: str = "run-1", seconds: float = 60.0, destination: str = DESTINATION) -> Lease:
    return Lease(leases, destination, run_id, seconds)


def files(leases) -> list[str]:
    return sorted(ref.key for ref in leases.list())


def content(leases) -> dict:
    return json.loads(leases.fetch(files(leases)[-1]))


def current(leases) -> LeaseContent:
    return decode(leases.fetch(files(leases)[-1]))
