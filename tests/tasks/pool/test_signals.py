"""Signals at multiples of a count: once each, also after a killed run, and from 0 again after a training."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.pool.signals import Signal


@pytest.fixture
def signal(tmp_path: Path) -> Signal:
    return Signal(str(tmp_path), "grown", 1000)


def looked(signal: Signal, count: int, added: int) -> bool:
    due = signal.is_due(count, added)
    signal.remember(count)
    return due


def test_a_multiple_that_a_killed_run_passed_is_signalled_by_the_next(signal: Signal) -> None:
    assert not looked(signal, 900, 900)
    # A run that added 500 was killed before it looked.
    assert looked(signal, 1500, 100)
    assert not looked(signal, 1900, 400)


def test_a_signal_that_could_not_be_given_is_due_again(signal: Signal) -> None:
    assert not looked(signal, 900, 900)
    assert signal.is_due(1000, 100)
    assert looked(signal, 1000, 0)
    assert not looked(signal, 1000, 0)


def test_without_an_earlier_look_the_run_decides(signal: Signal) -> None:
    assert not signal.is_due(5500, 400)
    assert signal.is_due(5500, 600)
    assert signal.is_due(5500, 9000)


def test_the_count_begins_anew_after_a_training(signal: Signal) -> None:
    assert looked(signal, 3500, 3500)
    trained = replace(signal, since=datetime(2026, 5, 1, tzinfo=UTC))
    assert not looked(trained, 400, 0)
    assert looked(trained, 1100, 0)


@pytest.mark.parametrize("damaged", ["", "[]", "{}", '{"since": null, "count": "many"}'])
def test_a_damaged_note_counts_as_none(signal: Signal, damaged: str, tmp_path: Path) -> None:
    looked(signal, 900, 900)
    (tmp_path / "signals" / "grown.json").write_text(damaged)
    assert signal.is_due(1100, 200)
    assert not signal.is_due(1100, 50)
