from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.catalog.pool import Pool
from infra.settings import Settings
from tasks.retraining.request import NothingNew, RetrainRequest, prepare_retraining, refuse_at_once
from tests.support.samples.pool_rows import pool_row
from tests.support.worlds.pools import settings_of

SMOKE = RetrainRequest("smoke", "", None, anew=False)
CHECKS = [prepare_retraining, refuse_at_once]


@pytest.mark.parametrize("check", CHECKS)
def test_an_empty_pool_is_nothing_to_learn_from(
    tmp_path: Path, check: Callable[[Settings, RetrainRequest], object]
):
    with pytest.raises(NothingNew, match=r"nothing to learn from: .* is empty; python -m flows\.ingest"):
        check(settings_of(tmp_path / "workspace"), SMOKE)


@pytest.mark.parametrize("check", CHECKS)
def test_a_pool_of_validation_crops_alone_is_nothing_to_learn_from(
    tmp_path: Path, check: Callable[[Settings, RetrainRequest], object]
):
    settings = settings_of(tmp_path / "workspace")
    Pool(settings.workspace).commit(
        [pool_row(f"{each}", split="validation") for each in range(3)], replace=False
    )
    says = r"has 3 crops in the split validation and none in train: ingest .*\(DERAIN_INGEST__GROUP_PATTERN"
    with pytest.raises(NothingNew, match=says):
        check(settings, SMOKE)
