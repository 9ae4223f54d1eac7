"""A promotion is rolled back to any version, even from broken champions and moved aliases."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from infra.settings import Settings
from infra.tracking.model_artifact import WEIGHTS_FILE
from infra.tracking.registry import CHAMPION, STUDENT, Registry
from infra.tracking.server import ModelNotFound, TrackingServer
from tasks.promotion.champion import PromotionFailed, open_transaction
from tasks.promotion.transaction import roll_back
from tests.support.worlds.promotion import champions, decisions, serving, tiny
from tests.support.worlds.promotion_driver import killed, roll_back_to_the_end


@pytest.mark.slow
def test_a_rollback_that_was_killed_is_brought_to_its_end(settings: Settings):
    champions(settings, tiny(0), tiny(1))
    roll_back(settings, 2, "to 2")
    assert killed(roll_back_to_the_end, settings, "after-ledger") == -signal.SIGKILL
    assert serving(settings) == "2"
    with open_transaction(settings, "next"):
        assert serving(settings) == "1"
    assert decisions(settings)[-1] == ("rolled_back", "2", "1")


def test_back_to_any_version_and_history_is_kept(settings: Settings):
    champions(settings, tiny(0), tiny(1), tiny(2))
    with pytest.raises(PromotionFailed, match="no previous version"):
        roll_back(settings, None, "none")
    moves: list[tuple[Callable[[], object], str]] = [
        (lambda: roll_back(settings, 3, "a"), "3"),
        (lambda: roll_back(settings, None, "b"), "1"),
        (lambda: roll_back(settings, 2, "c"), "2"),
    ]
    for move, champion in moves:
        move()
        assert serving(settings) == champion
    with pytest.raises(PromotionFailed, match="derain-student/2 is the champion already"):
        roll_back(settings, 2, "again")
    with pytest.raises(ModelNotFound, match="derain-student/9"):
        roll_back(settings, 9, "nowhere")
    assert decisions(settings) == [
        ("adopted", None, "1"),
        ("rolled_back", "1", "3"),
        ("rolled_back", "3", "1"),
        ("rolled_back", "1", "2"),
    ]


def test_back_from_a_champion_that_is_broken(settings: Settings):
    champions(settings, tiny(0), tiny(1))
    roll_back(settings, 2, "a")
    second = TrackingServer(settings).client().get_model_version(STUDENT, "2")
    Path(url2pathname(urlsplit(second.source).path), WEIGHTS_FILE).unlink()
    with pytest.raises(ModelNotFound, match="its files are gone"):
        serving(settings)
    assert roll_back(settings, None, "b").to_version == serving(settings) == "1"
    with pytest.raises(ModelNotFound, match="its files are gone"):
        roll_back(settings, None, "c")
    assert serving(settings) == "1"


def test_an_alias_that_was_moved_by_hand_is_taken_into_the_ledger(settings: Settings):
    champions(settings, tiny(0), tiny(1), tiny(2))
    roll_back(settings, 2, "a")
    Registry(settings).move_alias(STUDENT, CHAMPION, "1")  # not by a killed run, so it is not moved back to 2
    roll_back(settings, 3, "b")
    assert decisions(settings)[-2:] == [("adopted", "2", "1"), ("rolled_back", "1", "3")]
    assert serving(settings) == "3"
