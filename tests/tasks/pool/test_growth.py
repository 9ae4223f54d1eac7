"""Crops count as new from the beginning of the last completed retraining."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.catalog.pool import Pool
from infra.catalog.promotions import Ledger, Promotion
from infra.settings import Settings
from infra.tracking.registry import STUDENT
from tasks.pool.growth import emit_pool_grown, last_training
from tests.support.samples.pool_rows import pool_row
from tests.support.worlds.pools import settings_of

BEGAN = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path / "workspace")


def decide(settings: Settings, when: datetime, decision: str = "refused") -> None:
    row = Promotion(STUDENT, 0, decision, "1", "2", "", (), None, "run", when)
    Ledger(settings.workspace).append(row)


def write(settings: Settings, name: str, text: str) -> None:
    folder = Path(settings.workspace, "retrainings")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(text)


def begun(when: datetime, closed: datetime | None = None, step: str = "promote") -> str:
    record = {"begun_at": when.isoformat(timespec="seconds"), "stages": [{"name": step}]}
    return json.dumps(record | ({"closed_at": closed.isoformat(timespec="seconds")} if closed else {}))


def test_crops_ingested_during_a_retraining_are_new(settings: Settings):
    write(settings, "earlier", begun(BEGAN - 9 * HOUR))
    write(settings, "last", begun(BEGAN))
    decide(settings, BEGAN + 5 * HOUR)
    moments = {"before": BEGAN - HOUR, "during": BEGAN + HOUR, "after": BEGAN + 6 * HOUR}
    rows = [pool_row(name, ingested_at=when) for name, when in moments.items()]
    Pool(settings.workspace).commit(rows, replace=False)
    assert last_training(settings.workspace) == BEGAN
    assert emit_pool_grown(settings, 1) == 2


def test_a_promotion_by_hand_after_a_retraining_counts(settings: Settings):
    write(settings, "last", begun(BEGAN, BEGAN + 5 * HOUR))
    decide(settings, BEGAN + 5 * HOUR)
    assert last_training(settings.workspace) == BEGAN
    decide(settings, BEGAN + 9 * HOUR, "promoted")
    assert last_training(settings.workspace) == BEGAN + 9 * HOUR


def test_a_retraining_that_learned_nothing_does_not_count(settings: Settings):
    write(settings, "last", begun(BEGAN, BEGAN + HOUR, "finetune"))
    assert last_training(settings.workspace) is None


def test_a_retraining_that_is_not_completed_has_trained_nothing(settings: Settings):
    write(settings, "open", begun(BEGAN))
    assert last_training(settings.workspace) is None


def test_without_a_retraining_the_last_decision_counts(settings: Settings):
    decide(settings, BEGAN, "promoted")
    decide(settings, BEGAN + HOUR, "rolled_back")
    assert last_training(settings.workspace) == BEGAN


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"begun_at": 7}'])
def test_a_damaged_record_is_named_and_counts_as_none(
    settings: Settings, caplog: pytest.LogCaptureFixture, text: str
):
    write(settings, "damaged", text)
    write(settings, "whole", begun(BEGAN))
    assert last_training(settings.workspace) == BEGAN
    assert "retrainings/damaged.json: not the record of a retraining" in caplog.text
