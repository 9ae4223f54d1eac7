"""The ledger of promotions keeps each decision once and in order, and says which version was champion when."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from deltalake.table import TableMerger

from infra.catalog.promotions import Decision, Gate, Ledger, Promotion, PromotionRaced

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
GATE = Gate("psnr_y", 30, 31.5, 32.0, -0.5, -0.6, -0.4, 0.1, True)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(str(tmp_path))


def row(
    decision: Decision, before: str | None, after: str, day: int, model: str = "derain-student"
) -> Promotion:
    when = BEGAN + timedelta(days=day)
    return Promotion(model, 0, decision, before, after, "why; 'quoted'", (GATE,), None, f"run-{day}", when)


@pytest.fixture
def history(ledger: Ledger) -> Ledger:
    ledger.append(row("adopted", None, "1", 0))
    ledger.append(row("promoted", "1", "2", 10))
    ledger.append(row("refused", "2", "3", 20))
    ledger.append(row("rolled_back", "2", "1", 30))
    ledger.append(row("adopted", None, "9", 5, model="afr-net"))
    return ledger


def test_rows_come_back_as_they_were_numbered_by_model(history: Ledger):
    rows = history.rows("derain-student")
    assert [(each.number, each.decision) for each in rows] == [
        (1, "adopted"),
        (2, "promoted"),
        (3, "refused"),
        (4, "rolled_back"),
    ]
    assert (rows[0].from_version, rows[1].gates, rows[1].decided_at) == (
        None,
        (GATE,),
        BEGAN + timedelta(days=10),
    )
    assert [each.number for each in history.rows("afr-net")] == [1]
    assert history.rows("semi-drdnet") == []


def test_an_empty_ledger_has_no_champion(ledger: Ledger):
    assert (ledger.rows("derain-student"), ledger.last_move("derain-student")) == ([], None)
    assert ledger.champion_on("derain-student", BEGAN) is None


@pytest.mark.parametrize(
    ("day", "champion"), [(-1, None), (0, "1"), (9, "1"), (10, "2"), (25, "2"), (31, "1")]
)
def test_who_was_champion_on_that_day(history: Ledger, day: int, champion: str | None):
    when = BEGAN + timedelta(days=day)
    assert history.champion_on("derain-student", when) == champion
    documented = (
        pl.read_delta(history.url)
        .filter(
            pl.col("model") == "derain-student",
            pl.col("decision") != "refused",
            pl.col("decided_at") <= when,
        )
        .sort("number")
        .select(pl.last("to_version"))
        .item()
    )
    assert documented == champion


def test_the_last_move_is_not_a_refusal(ledger: Ledger):
    ledger.append(row("promoted", "1", "2", 0))
    ledger.append(row("refused", "2", "3", 1))
    last = ledger.last_move("derain-student")
    assert last is not None
    assert (last.number, last.to_version) == (1, "2")


def test_the_loser_of_two_concurrent_writes_is_refused(ledger: Ledger, tmp_path: Path, monkeypatch):
    ledger.append(row("adopted", None, "1", 0))
    execute = TableMerger.execute
    other = Ledger(str(tmp_path))

    def late(merger):
        monkeypatch.setattr(TableMerger, "execute", execute)
        other.append(row("promoted", "1", "3", 1))
        return execute(merger)

    monkeypatch.setattr(TableMerger, "execute", late)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(PromotionRaced, match="run it again"):
        ledger.append(row("promoted", "1", "2", 2))
    assert [each.to_version for each in ledger.rows("derain-student")] == ["1", "3"]


def test_a_commit_that_landed_though_it_failed_is_there_once(ledger: Ledger, monkeypatch):
    ledger.append(row("adopted", None, "1", 0))
    execute = TableMerger.execute

    def landed(merger):
        monkeypatch.setattr(TableMerger, "execute", execute)
        execute(merger)
        raise OSError("503")

    monkeypatch.setattr(TableMerger, "execute", landed)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    assert ledger.append(row("promoted", "1", "2", 1)).number == 2
    assert len(ledger.rows("derain-student")) == 2
