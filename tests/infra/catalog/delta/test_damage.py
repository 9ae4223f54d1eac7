"""A table without a log is damaged, unless another process has just created it."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.catalog.delta.damage import CatalogDamaged, refuse_table_without_log
from infra.catalog.delta.log import FIRST_COMMIT, LOG


def test_data_without_a_log_is_refused_and_a_log_that_has_just_come_is_not(tmp_path: Path) -> None:
    (tmp_path / "part-0.parquet").write_bytes(b"data")
    with pytest.raises(CatalogDamaged, match="though there are data files"):
        refuse_table_without_log(str(tmp_path))
    (tmp_path / LOG).mkdir()
    (tmp_path / LOG / FIRST_COMMIT).write_text("{}")
    refuse_table_without_log(str(tmp_path))
