"""Promotion as a transaction: accepted, refused, killed at any point, concurrent, and rolled back."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from infra.catalog.promotions import Ledger, PromotionRaced
from infra.settings import Settings
from infra.storage.lease import LeaseHeld
from infra.tracking.registry import CHAMPION_URL, STUDENT, Registry
from infra.tracking.server import ModelNotFound
from models.errors import ModelError
from models.modelfile import ModelFile
from tasks.media.manifests import ManifestInvalid
from tasks.promotion import transaction as promotion
from tasks.promotion.champion import PromotionFailed, open_transaction
from tasks.promotion.gates import Verdict
from tasks.promotion.transaction import promote_challenger, promoted_since, promotion_line, roll_back
from tasks.resolved_model import resolve_model
from tests.support.worlds.promotion import (
    PAIRS,
    champions,
    decisions,
    serving,
    settings_of,
    tiny,
    with_strength,
)
from tests.support.worlds.promotion_driver import GATE, killed, promote_to_the_end

PLACES = ("after-gates", "after-ledger", "after-previous", "after-champion", "after-read-back")


@pytest.fixture
def better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every challenger better, since the tests are about the consequences."""
    verdict = Verdict((GATE,), (), (GATE,))
    monkeypatch.setattr(promotion, "_compared", lambda *arguments: (verdict, None))


@pytest.mark.slow
def test_better_is_taken_worse_and_same_are_refused_and_all_of_it_is_in_the_ledger(root: Path):
    settings = settings_of(root, psnr_y=3, ssim_y=0.1, clean_change=9, detail_kept=1)
    champions(settings, with_strength(0.0))
    taken = promote_challenger(settings, str(promotion_file(root, with_strength(1.0))), "one")
    assert (taken.decision, taken.from_version, taken.to_version) == ("promoted", "1", "2"), taken.reasons
    assert serving(settings) == "2"
    same = promote_challenger(settings, f"models:/{STUDENT}@challenger", "two")
    worse = promote_challenger(settings, f"models:/{STUDENT}/1", "three")
    assert (same.decision, worse.decision, serving(settings)) == ("refused", "refused", "2")
    assert "the same network as derain-student/2" in same.reasons
    assert "rain_recall" in worse.reasons
    assert "not significantly better" in worse.reasons
    assert "stays champion" in promotion_line(worse)
    back = roll_back(settings, None, "four")
    assert (back.decision, back.to_version, serving(settings)) == ("rolled_back", "1", "1")
    assert resolve_model(settings, CHAMPION_URL).model_file == with_strength(0.0)
    assert [decision for decision, *_ in decisions(settings)] == [
        "adopted",
        "promoted",
        "refused",
        "refused",
        "rolled_back",
    ]
    figures = {gate.name: gate for gate in taken.gates}
    assert set(figures) == {"psnr_y", "ssim_y", "rain_recall", "detail_kept", "clean_change", "latency"}
    assert figures["psnr_y"].n == PAIRS
    table = pl.read_parquet(str(taken.evaluation))
    assert table.height == 2 * PAIRS
    mean = table.filter(pl.col("role") == "challenger")["psnr_y"].mean()
    assert mean == pytest.approx(figures["psnr_y"].challenger)


@pytest.mark.slow
def test_one_that_alters_clean_photographs_is_refused_for_it(root: Path):
    wide = {"psnr_y": 99, "ssim_y": 1, "rain_recall": 2, "detail_kept": 2, "latency_ratio": 99}
    settings = settings_of(root, **wide, clean_change=0.5)
    (_, smearing) = champions(settings, with_strength(0.0), with_strength(8.0))
    refused = promote_challenger(settings, smearing, "one")
    assert [gate.name for gate in refused.gates if not gate.passed] == ["clean_change"]
    assert refused.reasons.startswith("clean_change ")
    assert serving(settings) == "1"


def promotion_file(root: Path, model_file: ModelFile) -> Path:
    path = root / "challenger.safetensors"
    path.write_bytes(model_file.weights)
    path.with_suffix(".json").write_bytes(model_file.config)
    return path


def test_too_small_a_set_decides_nothing(root: Path):
    settings = settings_of(root, min_images=PAIRS + 1)
    (_, other) = champions(settings, tiny(0), tiny(1))
    refused = promote_challenger(settings, other, "one")
    assert (refused.decision, refused.gates, serving(settings)) == ("refused", (), "1")
    assert f"{PAIRS} pairs" in refused.reasons


def test_a_set_of_too_few_scenes_decides_nothing(root: Path):
    settings = settings_of(root, min_scenes=PAIRS + 1)
    (_, other) = champions(settings, tiny(0), tiny(1))
    refused = promote_challenger(settings, other, "one")
    assert (refused.decision, refused.gates, serving(settings)) == ("refused", (), "1")
    assert f"{PAIRS} scenes" in refused.reasons


def test_a_changed_photograph_is_named_and_nothing_is_changed(root: Path, settings: Settings):
    (_, other) = champions(settings, tiny(0), tiny(1))
    (root / "validation" / "clean" / "coffee.png").write_bytes(b"")
    aliases = Registry(settings).aliases(STUDENT)
    with pytest.raises(ManifestInvalid, match=r"clean/coffee\.png"):
        promote_challenger(settings, other, "one")
    now = Registry(settings).aliases(STUDENT)
    assert (now.champion, now.challenger, now.previous) == (aliases.champion, aliases.challenger, None)
    assert "promoted" not in [decision for decision, *_ in decisions(settings)]


@pytest.mark.usefixtures("better")
def test_photographs_used_in_training_do_not_decide(root: Path, settings: Settings):
    (_, other) = champions(settings, tiny(0), tiny(1))
    with pytest.raises(ManifestInvalid, match=r"\.png shows the same as .*, which was used in training"):
        promote_challenger(settings, other, "one", str(root / "validation" / "clean"))
    assert (serving(settings), decisions(settings)) == ("1", [])


@pytest.mark.parametrize(
    ("challenger", "error"),
    [
        (f"models:/{STUDENT}@challenger", ModelNotFound),
        (f"models:/{STUDENT}/7", ModelNotFound),
        ("no-such.safetensors", ModelError),
    ],
)
def test_a_challenger_that_is_not_there_is_named(settings: Settings, challenger: str, error: type[Exception]):
    champions(settings, tiny(0))
    with pytest.raises(error, match=challenger.split("/")[-1]):
        promote_challenger(settings, challenger, "one")
    assert decisions(settings) == []


def test_a_model_of_another_name_is_refused_as_challenger(settings: Settings):
    champions(settings, tiny(0))
    teacher = tiny(1)
    Registry(settings).add_version("afr-net", teacher.weights, teacher.config)
    with pytest.raises(PromotionFailed, match="afr-net cannot become champion of derain-student"):
        promote_challenger(settings, "models:/afr-net/1", "one")


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_killed_anywhere_one_of_the_two_serves_and_the_next_run_repairs(settings: Settings, place: str):
    (_, second) = champions(settings, tiny(0), tiny(1))
    with open_transaction(settings, "founding"):  # the ledger begins
        pass
    assert killed(promote_to_the_end, settings, second, place) == -signal.SIGKILL
    assert serving(settings) in ("1", "2")
    with open_transaction(settings, "next"):
        pass
    began = place != "after-gates"
    assert decisions(settings) == [("adopted", None, "1"), ("promoted", "1", "2")][: 1 + began]
    aliases = Registry(settings).aliases(STUDENT)
    assert (aliases.champion, aliases.settled) == (("2", 2) if began else ("1", 1))
    if began:
        assert aliases.previous == "1"
        assert roll_back(settings, None, "back").to_version == "1"


@pytest.mark.usefixtures("better")
def test_a_promotion_is_found_only_as_the_last_move_and_since_its_time(settings: Settings):
    (_, second) = champions(settings, tiny(0), tiny(1))
    begun = datetime.now(UTC)
    assert promoted_since(settings, second, begun, "before") is None
    row = promote_challenger(settings, second, "one")
    assert promoted_since(settings, second, begun, "two") == row
    assert promoted_since(settings, second, datetime.now(UTC), "two") is None
    assert promoted_since(settings, f"models:/{STUDENT}/1", begun, "two") is None
    roll_back(settings, None, "three")
    assert promoted_since(settings, second, begun, "four") is None


@pytest.mark.usefixtures("better")
def test_two_at_once_cannot_both_win(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    (_, second, third) = champions(settings, tiny(0), tiny(1), tiny(2))
    compared = promotion._compared

    def while_another_promotes(*arguments):
        monkeypatch.setattr(promotion, "_compared", compared)
        assert promote_challenger(settings, third, "faster").decision == "promoted"
        return compared(*arguments)

    monkeypatch.setattr(promotion, "_compared", while_another_promotes)
    late = promote_challenger(settings, second, "slower")
    assert late.decision == "refused"
    assert (
        "compared with derain-student/1, but derain-student/3 has become champion: run it again"
        in late.reasons
    )
    assert serving(settings) == "3"
    with open_transaction(settings, "at work"), pytest.raises(LeaseHeld, match="run at work"):
        roll_back(settings, None, "meanwhile")


def test_a_row_that_another_run_wrote_moves_no_alias(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    champions(settings, tiny(0), tiny(1))

    def raced(*arguments):
        raise PromotionRaced("another run decided")

    with open_transaction(settings, "founding"):
        pass
    monkeypatch.setattr(Ledger, "append", raced)
    with pytest.raises(PromotionRaced):
        roll_back(settings, 2, "late")
    assert serving(settings) == "1"


def test_weights_that_were_registered_are_not_registered_again(settings: Settings):
    champions(settings, tiny(0))
    registry, challenger = Registry(settings), tiny(1)
    numbers = [registry.register_challenger(STUDENT, challenger.weights, challenger.config) for _ in range(2)]
    assert numbers == ["2", "2"]
    assert registry.aliases(STUDENT).challenger == "2"
