"""Harmless version differences between a cluster and its client are logged in one line; others are refused."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from infra.dask.versions import compare_versions

HERE = {"python": "3.11.7.final.0", "distributed": "2026.8.0", "numpy": "2.4.6", "lz4": None}


def found(**there: str) -> dict[str, Any]:
    """Return the answer of a cluster whose second worker runs other versions."""
    same, other = {"packages": HERE}, {"packages": HERE | there}
    return {"client": same, "scheduler": same, "workers": {"tcp://a:1": same, "tcp://b:1": other}}


def test_the_same_versions_are_not_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert compare_versions(found()) is None
    assert not caplog.records


def test_another_patch_level_of_python_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert compare_versions(found(python="3.11.2.final.0")) is None
    (record,) = caplog.records
    assert record.getMessage().endswith("which is fine: python 3.11.7 here, 3.11.2 there")


def test_another_package_of_the_kind_that_matters_little_is_in_that_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        assert compare_versions(found(numpy="2.4.5")) is None
    assert "numpy 2.4.6 here, 2.4.5 there" in caplog.text


@pytest.mark.parametrize(
    ("package", "version", "line"),
    [
        ("python", "3.12.2.final.0", "python 3.11.7 here, 3.12.2 there"),
        ("distributed", "2026.7.1", "distributed 2026.8.0 here, 2026.7.1 there"),
    ],
)
def test_incompatible_versions_are_refused(package: str, version: str, line: str) -> None:
    assert compare_versions(found(**{package: version})) == line
