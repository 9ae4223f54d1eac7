"""`leases`: a folder of leases; `elsewhere`: leases look like those of another machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infra.process_identity import Holder
from infra.storage.lease import (
    lease_location,
)


@pytest.fixture
def leases(tmp_path: Path):
    return lease_location(str(tmp_path))


@pytest.fixture
def elsewhere(monkeypatch):
    """Make the leases taken from now on look like those of another machine."""
    here = Holder.this_process()
    monkeypatch.setattr(Holder, "this_process", lambda: replace(here, machine="other", host="other-host"))
