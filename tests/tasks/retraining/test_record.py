from __future__ import annotations

import json
import logging
import shutil
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect import State
from prefect.states import Completed, Failed

from infra.catalog.pool import Pool
from infra.errors import ObjectNotFound
from infra.settings import Settings
from infra.storage.lease import LeaseHeld
from infra.storage.location import open_location
from tasks.media.manifests import ManifestInvalid
from tasks.refusals import PreflightFailed
from tasks.retraining import record
from tasks.retraining.record import StepFailed, open_retraining
from tasks.retraining.request import NothingNew, RetrainRequest, prepare_retraining
from tests.support.samples.pool_rows import pool_row
from tests.support.worlds.pools import rainy_crops, write_pool
from tests.support.worlds.promotion import write_validation
from tests.support.worlds.rainy import write_training_folder

SMOKE = RetrainRequest("smoke", "", None, anew=False)
NAMES = ("curate", "finetune", "distill", "evaluate", "promote")


class Steps:
    """Steps that count their runs; one of them may fail."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.ran: list[str] = []

    def run(self, settings: Settings, request: RetrainRequest = SMOKE, run_id: str = "run") -> str:
        with open_retraining(settings, request, run_id) as retraining:
            for name in NAMES:
                retraining.run_step(name, lambda name=name: self._step(name))  # type: ignore[misc]
            return retraining.close()

    def _step(self, name: str) -> State[Any]:
        self.ran.append(name)
        if name == self.failing:
            return Failed(message="no room\nleft")
        return Completed(message=f"{name} done", data=SimpleNamespace(model=f"models:/{name}/7"))


def records(settings: Settings) -> dict[str, dict[str, Any]]:
    folder = Path(settings.workspace, "retrainings")
    return {path.name: json.loads(path.read_text()) for path in folder.glob("*.json")}


def test_all_steps_run_and_are_remembered(settings: Settings):
    line = Steps().run(settings)
    ((name, record),) = records(settings).items()
    assert line == f"promote done; results of all stages: {settings.workspace}/retrainings/{name}"
    assert name != "open.json"
    assert [step["line"] for step in record["stages"]] == [f"{step} done" for step in NAMES]
    assert [step["name"] for step in record["stages"]] == list(NAMES)
    assert {step["model"] for step in record["stages"]} == {f"models:/{name}/7" for name in NAMES}


@pytest.mark.parametrize("failing", ["curate", "distill"])
def test_a_failed_retraining_resumes_with_the_step_that_failed(
    settings: Settings, failing: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(record, "run_log", lambda: logging.getLogger("derain"))
    with pytest.raises(StepFailed, match=f"{failing}: no room left; the next run resumes here"):
        Steps(failing).run(settings)
    again = Steps()
    with caplog.at_level(logging.INFO, "derain"):
        again.run(settings)
    assert again.ran == list(NAMES[NAMES.index(failing) :])
    assert caplog.messages == [
        f"{name} is skipped, because an earlier run completed it: {name} done"
        for name in NAMES[: NAMES.index(failing)]
    ]


@pytest.mark.parametrize("step", ["finetune", "promote"])
def test_a_killed_retraining_runs_no_step_twice(
    settings: Settings, step: str, monkeypatch: pytest.MonkeyPatch
):
    def killed(place: str) -> None:
        if place == f"after-stage={step}":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tasks.retraining.record.failpoint", killed)
        with pytest.raises(KeyboardInterrupt):
            Steps().run(settings)
    again = Steps()
    again.run(settings)
    assert again.ran == list(NAMES[NAMES.index(step) + 1 :])
    (record,) = records(settings).values()
    assert [step["name"] for step in record["stages"]] == list(NAMES)


def test_a_resumed_retraining_keeps_the_pool_it_began_with(settings: Settings):
    with pytest.raises(StepFailed):
        Steps("distill").run(settings)
    begun = records(settings)["open.json"]
    write_pool(settings.workspace, rainy_crops(1), run_id="later")
    Steps().run(settings)
    (record,) = records(settings).values()
    assert (record["retraining_id"], record["pool_digest"]) == (begun["retraining_id"], begun["pool_digest"])
    later = Steps()
    later.run(settings)
    assert later.ran == list(NAMES)


def test_a_pool_that_is_what_it_was_is_not_learnt_from_again(settings: Settings):
    Steps().run(settings)
    Pool(settings.workspace).commit([pool_row("again", status="rejected", reason="duplicate")], replace=False)
    idle = Steps()
    with pytest.raises(NothingNew, match="--anew"):
        idle.run(settings)
    assert idle.ran == []
    asked = Steps()
    asked.run(settings, RetrainRequest("smoke", "", None, anew=True))
    assert asked.ran == list(NAMES)


def test_another_one_does_not_go_on_with_what_is_open(settings: Settings):
    with pytest.raises(StepFailed):
        Steps("distill").run(settings)
    with pytest.raises(PreflightFailed, match=r"preset smoke.*--anew"):
        Steps().run(settings, RetrainRequest("cpu", "", None, anew=False))
    anew = Steps()
    anew.run(settings, RetrainRequest("cpu", "", None, anew=True))
    assert anew.ran == list(NAMES)


def test_a_refused_promotion_is_an_end_too(settings: Settings):
    refused = Failed(name="Refused", message="version 2 refused")
    with open_retraining(settings, SMOKE, "run") as retraining:
        assert retraining.run_step("promote", lambda: refused).line == "version 2 refused"
        assert retraining.close().startswith("version 2 refused; results of all stages: ")


UNSTABLE = Failed(name="Unstable", message="collapse at step 3")


def test_an_unstable_training_is_done_without_if_it_is_optional(settings: Settings):
    with open_retraining(settings, SMOKE, "run") as retraining:
        step = retraining.run_step("finetune", lambda: UNSTABLE, is_optional=True)
        assert (step.line, step.model) == ("collapse at step 3", "")
    assert [each["name"] for each in records(settings)["open.json"]["stages"]] == ["finetune"]


def test_an_unstable_training_does_not_keep_later_crops_from_being_learned(settings: Settings):
    closed = r"distill: collapse at step 3; the retraining is closed: --anew trains from another seed"
    with open_retraining(settings, SMOKE, "run") as retraining, pytest.raises(StepFailed, match=closed):
        retraining.run_step("distill", lambda: UNSTABLE)
    assert "open.json" not in records(settings)
    with pytest.raises(NothingNew, match="--anew"):
        Steps().run(settings)
    write_pool(settings.workspace, rainy_crops(1), run_id="later")
    later = Steps()
    later.run(settings)
    assert later.ran == list(NAMES)


def test_only_anew_trains_from_another_seed(settings: Settings):
    Steps().run(settings)
    with pytest.raises(StepFailed):
        Steps("distill").run(settings, RetrainRequest("smoke", "", None, anew=True))
    unfinished = records(settings)["open.json"]
    Steps().run(settings)  # resumes it
    seeds = {name: each["seed"] for name, each in records(settings).items()}
    assert sorted(seeds.values()) == sorted([1, unfinished["seed"]])
    assert unfinished["seed"] != 1


def test_a_record_of_an_earlier_version_is_resumed(settings: Settings):
    with pytest.raises(StepFailed):
        Steps("distill").run(settings)
    path = Path(settings.workspace, "retrainings", "open.json")
    written = json.loads(path.read_text())
    del written["seed"]
    path.write_text(json.dumps(written))
    Steps().run(settings)
    (record,) = records(settings).values()
    assert record["seed"] == 1


def test_the_second_of_two_concurrent_retrainings_is_refused(settings: Settings):
    with open_retraining(settings, SMOKE, "first"), pytest.raises(LeaseHeld, match="first"):
        Steps().run(settings, run_id="second")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of labelled data with a validation manifest next to it."""
    root = tmp_path_factory.mktemp("labelled")
    write_training_folder(root / "data")
    write_validation(root / "validation")
    return root


@pytest.fixture
def judged(settings: Settings, labelled: Path) -> Settings:
    """Return settings whose validation photographs are next to the labelled data."""
    return settings.model_copy(update={"validation": str(labelled / "validation" / "manifest.csv")})


def test_labelled_data_is_found_before_the_first_step(judged: Settings, labelled: Path):
    asked = RetrainRequest("cpu", "", None, anew=False)
    found = prepare_retraining(judged.model_copy(update={"training": str(labelled / "data")}), asked)
    assert found.data == str(labelled / "data")
    assert prepare_retraining(judged, SMOKE) == SMOKE


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ("", "no data for preset cpu: give --data or set DERAIN_TRAINING"),
        ("/nowhere", "data /nowhere: needs photographs in clean/"),
        ("s3://bucket/data", "data s3://bucket/data: .* copy it to a folder on this machine"),
    ],
)
def test_labelled_data_that_is_not_there_is_reported_first(judged: Settings, data: str, line: str):
    with pytest.raises(PreflightFailed, match=line):
        Steps().run(judged, prepare_retraining(judged, RetrainRequest("cpu", data, None, anew=False)))
    assert records(judged) == {}


def test_a_photograph_that_decides_is_not_trained_on(judged: Settings, labelled: Path, tmp_path: Path):
    data = tmp_path / "data"
    shutil.copytree(labelled / "data", data)
    shutil.copy(labelled / "validation" / "clean" / "coffee.png", data / "clean" / "same.png")
    with pytest.raises(ManifestInvalid, match=r"coffee\.png shows the same as .*clean/same\.png"):
        Steps().run(judged, RetrainRequest("smoke", str(data), None, anew=False))
    assert records(judged) == {}  # another run may have another request


def test_labelled_data_is_not_read_if_there_is_nothing_new(
    judged: Settings, labelled: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = RetrainRequest("smoke", str(labelled / "data"), None, anew=False)
    Steps().run(judged, asked)
    monkeypatch.setattr("tasks.retraining.record.refuse_unfit_data", pytest.fail)
    with pytest.raises(NothingNew):
        Steps().run(judged, asked)


def test_a_record_that_is_none_is_named(settings: Settings):
    folder = Path(settings.workspace, "retrainings")
    folder.mkdir()
    (folder / "open.json").write_text("[]")
    with pytest.raises(PreflightFailed, match=r"open\.json: not the record"):
        Steps().run(settings)


def test_decisions_that_are_not_there_are_named(settings: Settings):
    with pytest.raises(ObjectNotFound, match=r"nowhere\.json"):
        Steps().run(settings, RetrainRequest("smoke", "", "nowhere.json", anew=False))


def test_decisions_may_lie_in_a_bucket(settings: Settings, moto: str):
    open_location(moto).put("decisions.json", b"[]")
    Steps().run(settings, RetrainRequest("smoke", "", f"{moto}/decisions.json", anew=False))
    (record,) = records(settings).values()
    assert record["decisions_sha256"] == sha256(b"[]").hexdigest()
