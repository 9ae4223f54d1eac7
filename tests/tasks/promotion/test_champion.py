"""The ledger of a workspace and the champion of a registry: repaired if they disagree, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.catalog.promotions import Ledger
from infra.settings import Settings
from infra.tracking.registry import CHAMPION, SETTLED, STUDENT, Registry
from infra.tracking.server import TrackingServer
from tasks.promotion.champion import (
    OTHER_REGISTRY,
    PromotionFailed,
    PromotionTransaction,
    open_transaction,
)
from tasks.promotion.transaction import roll_back
from tests.support.worlds.promotion import champions, decisions, serving, tiny


class Killed(BaseException):
    """Stands in for SIGKILL."""


def opened(settings: Settings) -> None:
    with open_transaction(settings, "next"):
        pass


def tag(settings: Settings, value: str | None) -> None:
    """Set the tag that names the ledger, as an earlier version or another registry would have it."""
    client = TrackingServer(settings).client()
    client.delete_registered_model_tag(STUDENT, SETTLED)
    if value is not None:
        client.set_registered_model_tag(STUDENT, SETTLED, value)


def killed_after_the_row(settings: Settings, monkeypatch: pytest.MonkeyPatch, to: int) -> None:
    """Roll back, and die between the row and the alias."""

    def die(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(PromotionTransaction, "align", die)
        with pytest.raises(Killed):
            roll_back(settings, to, "killed")


@pytest.fixture
def other(tracking_tables: Path, settings: Settings, tmp_path: Path) -> Settings:
    """Return the same workspace with another registry."""
    path = tmp_path / "other.db"
    path.write_bytes((tracking_tables / "mlflow.db").read_bytes())
    return settings.model_copy(update={"tracking_uri": f"sqlite:///{path}"})


@pytest.mark.parametrize("mark", ["named", "1"])
def test_a_move_of_this_registry_is_completed(settings: Settings, monkeypatch: pytest.MonkeyPatch, mark: str):
    champions(settings, tiny(0), tiny(1))
    opened(settings)
    if mark != "named":
        tag(settings, mark)  # as earlier versions wrote it
    killed_after_the_row(settings, monkeypatch, 2)
    assert serving(settings) == "1"
    opened(settings)
    assert serving(settings) == "2"
    assert decisions(settings) == [("adopted", None, "1"), ("rolled_back", "1", "2")]
    found = Registry(settings).aliases(STUDENT)
    assert (found.ledger, found.settled) == ("next", 2)


@pytest.mark.parametrize("versions", [1, 2])
def test_a_ledger_of_another_registry_changes_no_champion(settings: Settings, other: Settings, versions: int):
    """The other registry may lack the version, or have one of that number that nobody judged."""
    champions(settings, tiny(0), tiny(1))
    roll_back(settings, 2, "here")
    champions(other, *(tiny(10 + number) for number in range(versions)))
    opened(other)
    assert serving(other) == "1"
    assert decisions(other)[-1] == ("adopted", None, "1")
    assert Ledger(other.workspace).rows(STUDENT)[-1].reasons == OTHER_REGISTRY
    champions(other, tiny(10), tiny(12))
    assert roll_back(other, versions + 1, "there").to_version == str(versions + 1)


def test_a_move_that_was_left_in_one_registry_is_not_completed_in_another(
    settings: Settings, other: Settings, monkeypatch: pytest.MonkeyPatch
):
    champions(settings, tiny(0), tiny(1), tiny(2))
    roll_back(settings, 2, "here")
    killed_after_the_row(settings, monkeypatch, 3)
    champions(other, tiny(10), tiny(11), tiny(12))
    Registry(other).move_alias(STUDENT, CHAMPION, "2")
    opened(other)
    assert serving(other) == "2"


def test_a_move_in_another_registry_is_not_repeated_in_the_first(settings: Settings, other: Settings):
    """The champions of both have the same number."""
    champions(settings, tiny(0), tiny(1))
    opened(settings)
    champions(other, tiny(10), tiny(11))
    roll_back(other, 2, "there")
    opened(settings)
    assert (serving(settings), serving(other)) == ("1", "2")
    assert decisions(settings) == [
        ("adopted", None, "1"),
        ("adopted", None, "1"),
        ("rolled_back", "1", "2"),
        ("adopted", None, "1"),
    ]


def test_two_workspaces_do_not_revert_each_other(settings: Settings, other: Settings, tmp_path: Path):
    champions(other, tiny(0), tiny(1), tiny(2))
    roll_back(other, 2, "first")
    second = other.model_copy(update={"workspace": str(tmp_path / "second")})
    with pytest.raises(
        PromotionFailed, match=r"governed by another workspace, whose ledger began with run first"
    ):
        roll_back(second, 3, "second")
    assert (serving(other), decisions(second)) == ("2", [])
    tag(second, None)  # the remedy that the message names
    assert roll_back(second, 3, "second").from_version == "2"
    with pytest.raises(PromotionFailed, match="governed by another workspace"):
        opened(other)
    assert serving(other) == "3"


def test_a_registry_of_an_earlier_version_is_named(settings: Settings):
    champions(settings, tiny(0), tiny(1))
    roll_back(settings, 2, "first")
    tag(settings, "2")
    opened(settings)
    assert Registry(settings).aliases(STUDENT).ledger == "first"
    assert len(decisions(settings)) == 2
