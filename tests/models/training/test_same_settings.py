"""A fact that is missing is the same as none; any other difference of the checkpoint is refused."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from models.training.same_settings import CheckpointMismatch, refuse_other_settings
from tests.support.worlds.trainings import SIX_STEPS

PATH = Path("checkpoint.pt")


@pytest.mark.parametrize(("here", "there"), [({}, {"a": None}), ({"a": None}, {}), ({"a": ""}, {"a": None})])
def test_a_fact_that_is_missing_or_none_is_the_same(here: dict[str, Any], there: dict[str, Any]) -> None:
    refuse_other_settings(SIX_STEPS, here, 1, {"config": asdict(SIX_STEPS), "facts": there}, PATH)


@pytest.mark.parametrize("other", [0, False, "digest"])
def test_a_fact_that_only_the_checkpoint_has_is_refused(other: object) -> None:
    stored = {"config": asdict(SIX_STEPS), "facts": {"a": other}}
    with pytest.raises(
        CheckpointMismatch, match=f"^a is none here and {other} in checkpoint.pt: use the same"
    ):
        refuse_other_settings(SIX_STEPS, {}, 1, stored, PATH)
