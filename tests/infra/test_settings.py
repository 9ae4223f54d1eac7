"""Settings are read from the environment, and invalid ones are refused with the name of the variable."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from infra import settings
from infra.errors import RetryPolicy, UrlRefused
from infra.limits import DriftLimits, GateLimits
from infra.settings import SettingsInvalid, absolute_url, read_retry_policy, read_settings
from infra.settings_faults import OTHER_VARIABLES, variables

ROOT = Path(__file__).parents[2]
EXAMPLES = {"DERAIN_SCHEDULER_PORT"}
"""Variables that comments mention."""


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("DERAIN_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_unset_there_is_a_workspace_here_and_nothing_to_derain(tmp_path: Path) -> None:
    settings = read_settings()
    assert settings.workspace == str(tmp_path / "var")
    assert (settings.source, settings.destination, settings.cluster) == (None, None, None)


def test_empty_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SOURCE", "DESTINATION", "CLUSTER", "TRACKING_URI"):
        monkeypatch.setenv(f"DERAIN_{name}", "")
    settings = read_settings()
    assert (settings.source, settings.destination) == (None, None)
    assert (settings.cluster, settings.tracking_uri) == (None, None)


def test_an_empty_workspace_is_the_default_and_not_the_current_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("WORKSPACE", "WORKERS", "RETRY_SECONDS", "LOG_FORMAT"):
        monkeypatch.setenv(f"DERAIN_{name}", "")
    assert read_settings().workspace == str(tmp_path / "var")
    assert read_retry_policy() == RetryPolicy(45.0)


@pytest.mark.parametrize("is_in_file", [False, True], ids=["environment", ".env"])
def test_an_empty_variable_of_a_group_is_unset(is_in_file: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "DERAIN_RETENTION__REPORTS_DAYS": "",
        "DERAIN_REPORTS__PRESIGNED_HOURS": "",
        "DERAIN_GATES": "",
        "DERAIN_GATES__MIN_IMAGES": "",
        "DERAIN_GATES__PSNR_Y": "0.2",
        "DERAIN_DRIFT": "",
    }
    if is_in_file:
        Path(".env").write_text("".join(f"{name}={value}\n" for name, value in given.items()))
    else:
        for name, value in given.items():
            monkeypatch.setenv(name, value)
    found = read_settings()
    assert (found.retention.reports_days, found.reports.presigned_hours) == (None, None)
    assert (found.gates, found.drift) == (GateLimits(psnr_y=0.2), DriftLimits())


def test_an_empty_variable_overrides_that_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("DERAIN_CLUSTER=tcp://cluster:8786\nDERAIN_RETENTION__REPORTS_DAYS=3\n")
    assert read_settings().retention.reports_days == 3
    for name in ("DERAIN_CLUSTER", "DERAIN_RETENTION__REPORTS_DAYS"):
        monkeypatch.setenv(name, "")
    assert (read_settings().cluster, read_settings().retention.reports_days) == (None, None)


@pytest.mark.parametrize("given", ["", "file://"])
def test_an_empty_path_is_no_folder(given: str) -> None:
    with pytest.raises(UrlRefused, match="an empty path names no folder"):
        absolute_url(given)


def test_the_environment_is_read_when_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DERAIN_SOURCE", "rainy")
    assert read_settings().source == str(tmp_path / "rainy")
    monkeypatch.setenv("DERAIN_SOURCE", "s3://bucket/rainy/")
    assert read_settings().source == "s3://bucket/rainy"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKERS", "many"),
        ("WORKERS", "0"),
        ("SHARD_PIXELS", "1e3x"),
        ("LEASE_SECONDS", "-1"),
        ("DEVICE", "gpu"),
        ("RETRY_SECONDS", "abc"),
        ("RESOURCES", "CPU"),
        ("SOURCE", "~nobody-is-here/photos"),
    ],
)
def test_an_impossible_value_names_its_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"DERAIN_{name}", value)
    with pytest.raises(SettingsInvalid, match=f"DERAIN_{name}={value}: ") as raised:
        read_settings()
    assert "\n" not in str(raised.value)
    assert value not in str(raised.value).partition(": ")[2]


@pytest.mark.parametrize(
    ("given", "taken"),
    [("GPU=1", {"GPU": 1}), ("GPU=1 MEM=0.5", {"GPU": 1, "MEM": 0.5}), ("A=2,B=0", {"A": 2}), ("", {})],
)
def test_resources_are_written_as_for_dask(
    given: str, taken: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERAIN_RESOURCES", given)
    assert read_settings().shard_resources == taken


def test_how_long_storage_is_asked_again_is_read_in_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_retry_policy() == RetryPolicy(45.0)
    monkeypatch.setenv("DERAIN_RETRY_SECONDS", "1.5")
    assert read_retry_policy().budget_seconds == read_settings().retry_seconds == 1.5
    monkeypatch.setenv("DERAIN_RETRY_SECONDS", "abc")
    with pytest.raises(SettingsInvalid, match="DERAIN_RETRY_SECONDS=abc: "):
        read_retry_policy()


def test_limits_of_promotion_are_given_one_by_one_or_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERAIN_GATES", '{"psnr_y": 0.5, "min_images": 30}')
    monkeypatch.setenv("DERAIN_GATES__PSNR_Y", "0.2")
    assert read_settings().gates == GateLimits(psnr_y=0.2, min_images=30)


def test_limits_that_are_not_json_say_how_to_give_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERAIN_GATES", "psnr_y=0.2")
    with pytest.raises(SettingsInvalid, match="DERAIN_GATES__PSNR_Y"):
        read_settings()


@pytest.mark.parametrize(
    ("given", "absolute"),
    [
        ("s3://bucket/a/", "s3://bucket/a"),
        ("s3://bucket", "s3://bucket"),
        ("s3://", "s3://"),
        ("/a/../b/", "/b"),
        ("file:///b", "/b"),
    ],
)
def test_urls_are_absolute_and_end_without_a_slash(given: str, absolute: str) -> None:
    assert absolute_url(given) == absolute


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("s3:/bucket/rainy", "s3://bucket/rainy"),
        ("s3:bucket", "s3://bucket"),
        ("gs:/bucket", "gs://bucket"),
        ("file:/photos", "file:///photos"),
    ],
)
def test_a_url_that_lacks_a_slash_is_no_local_folder(
    given: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        UrlRefused, match=f"^{given}: did you mean {meant}\\? For a folder of this name, write ./{given}$"
    ):
        absolute_url(given)
    monkeypatch.setenv("DERAIN_SOURCE", given)
    with pytest.raises(SettingsInvalid, match=f"DERAIN_SOURCE.*did you mean {meant}"):
        read_settings()


@pytest.mark.parametrize("given", ["C:/photos", "/photos/s3:/a", "2024:/photos", "./foo:/bar", "./s3:bucket"])
def test_a_colon_in_a_path_is_allowed(given: str, tmp_path: Path) -> None:
    assert absolute_url(given) == str(tmp_path / given)


def test_a_path_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(UrlRefused, match=r"^~nobody-is-here/photos: .*; give the whole path$"):
        absolute_url("~nobody-is-here/photos")


def test_a_path_that_is_not_text_is_refused_in_one_line() -> None:
    with pytest.raises(UrlRefused, match=r"caf\\udce9: a path must be valid UTF-8"):
        absolute_url(b"/photos/caf\xe9".decode("utf-8", "surrogateescape"))


def test_a_limit_that_there_no_longer_is_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DERAIN_CURATION__SCALES", "[1, 0.75, 0.5]")
    with pytest.raises(SettingsInvalid, match=r"^DERAIN_CURATION__SCALES: .* remove the variable$"):
        read_settings()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DERAIN_SORCE", "DERAIN_SOURCE"),
        ("DERAIN_DESTINATIONS", "DERAIN_DESTINATION"),
        ("DERAIN_RETRY_SECS", "DERAIN_RETRY_SECONDS"),
        ("DERAIN_WORKER", "DERAIN_WORKERS"),
        ("DERAIN_RETENTION_REPORTS_DAYS", "DERAIN_RETENTION__REPORTS_DAYS"),
        ("DERAIN_RETENTION__REPORT_DAYS", "DERAIN_RETENTION__REPORTS_DAYS"),
    ],
)
@pytest.mark.parametrize("is_in_file", [False, True], ids=["environment", ".env"])
def test_a_misspelt_variable_is_refused_with_the_one_that_was_meant(
    name: str, meant: str, is_in_file: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_in_file:
        Path(".env").write_text(f"{name}=3\nOTHER=1\n")
    else:
        monkeypatch.setenv(name, "3")
    way_out = "Correct or remove the variable"
    with pytest.raises(
        SettingsInvalid, match=f"^{name}: there is no such setting; did you mean {meant}\\? {way_out}$"
    ):
        read_settings()
    read_retry_policy()  # a worker has another environment, and takes what it needs


def test_a_variable_of_a_group_that_resembles_none_lists_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERAIN_RETENTION__IMAGES", "3")
    with pytest.raises(SettingsInvalid, match="DERAIN_RETENTION__ has REPORTS_DAYS, PLANS_DAYS, "):
        read_settings()


def test_other_variables_are_named_once_and_do_no_harm(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (
        "DERAIN_FRONTEND",
        "DERAIN_DATA",
        "DERAIN_SCHEDULER_PORT",
        "DERAIN_SCHEDULER_PORT_8786_TCP_ADDR",
        "DERAIN_SCHEDULER_SERVICE_HOST",
    ):
        monkeypatch.setenv(name, "x")
    settings._warn_of_unknown.cache_clear()
    for _ in range(2):
        read_settings()
    assert caplog.messages == ["DERAIN_FRONTEND: there is no such setting; it is ignored"]


def test_every_variable_that_the_files_of_the_project_mention_is_known() -> None:
    known = {*variables(settings.Settings), *OTHER_VARIABLES}
    files = [ROOT / name for name in ("compose.yaml", "Dockerfile", "Makefile", "prefect.yaml")]
    files += [path for path in (ROOT / "deploy").rglob("*") if path.is_file()]
    for folder in ("benchmarks", "examples", "flows", "infra", "models", "tasks"):
        files += (ROOT / folder).rglob("*.py")
    found = {
        name for file in files for name in re.findall(r"\bDERAIN_[A-Z0-9_]*[A-Z0-9]\b", file.read_text())
    }
    assert found - known - EXAMPLES == set()
    assert "DERAIN_LISTEN" in found


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("90", "DERAIN_RETENTION=90 is not a JSON object; correct it, or set one of its settings, as in "),
        ("90 days", "DERAIN_RETENTION is not JSON; correct it, or set one of its settings, as in "),
        ('{"report_days": 90}', "DERAIN_RETENTION__REPORT_DAYS: there is no such setting; did you mean "),
    ],
)
def test_a_group_of_settings_says_how_it_is_set(
    value: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERAIN_RETENTION", value)
    with pytest.raises(SettingsInvalid) as raised:
        read_settings()
    assert str(raised.value).startswith(f"{line}DERAIN_RETENTION__REPORTS_DAYS")


def test_a_value_that_matches_no_pattern_is_explained_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERAIN_DEVICE", "gpu")
    with pytest.raises(SettingsInvalid, match=r"^DERAIN_DEVICE=gpu: a device is auto, cpu, cuda or cuda:N$"):
        read_settings()
    monkeypatch.setenv("DERAIN_DEVICE", "cpu")
    monkeypatch.setenv("DERAIN_SOURCE", "s3:/rainy")
    with pytest.raises(SettingsInvalid, match=r"^DERAIN_SOURCE=s3:/rainy: did you mean"):
        read_settings()
