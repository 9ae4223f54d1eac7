"""The documentation page of all settings matches the class."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra import settings
from infra.settings import Settings, WorkerSettings
from infra.settings_table import all_settings, page

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def test_the_page_is_that_of_the_class() -> None:
    """If this fails, run `python -m infra.settings_table > docs/reference/settings.md`."""
    assert DOCUMENT.read_text(encoding="utf-8") == page()


def test_every_setting_has_a_meaning_and_is_set_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {each.variable: each for each in all_settings()}
    assert [each.variable for each in found.values() if not each.meaning] == []
    assert len(found) > 50
    for variable, value in (("DERAIN_LEASE_SECONDS", "7"), ("DERAIN_DRIFT__ALPHA", "0.5")):
        assert variable in found
        monkeypatch.setenv(variable, value)
    read = Settings(_env_file=None)
    assert (read.lease_seconds, read.drift.alpha) == (7, 0.5)


@pytest.mark.parametrize("here", [None, "DERAIN_RETRY_SECONDS=3"])
def test_a_file_in_the_projects_folder_is_read_and_one_here_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str | None
) -> None:
    monkeypatch.delenv("DERAIN_RETRY_SECONDS", raising=False)
    root, folder = tmp_path / "project", tmp_path / "elsewhere"
    for each in (root, folder):
        each.mkdir()
    assert (DOCUMENT.parents[2] / ".env", Path(".env")) == settings.ENV_FILES
    monkeypatch.setitem(WorkerSettings.model_config, "env_file", (root / ".env", Path(".env")))
    (root / ".env").write_text("DERAIN_RETRY_SECONDS=2")
    monkeypatch.chdir(folder)
    if here is not None:
        Path(".env").write_text(here)
    assert WorkerSettings().retry_seconds == (2 if here is None else 3)
