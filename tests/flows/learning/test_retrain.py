"""The flow retrain: the loop from a pool to a gate decision, killed in every step; a further run does nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect import Flow, State
from prefect.states import Completed, Failed

from flows import retrain as steps
from flows.distill import distill
from flows.finetune import finetune
from flows.retrain import refuse, retrain
from infra.catalog.pool import Pool
from infra.catalog.promotions import Ledger
from infra.catalog.pseudo_labels import PseudoLabels
from infra.failpoints import VARIABLE
from infra.settings import read_settings
from infra.tracking.registry import STUDENT, Registry
from infra.tracking.server import TrackingServer
from tasks.promotion import transaction as promotion
from tasks.promotion.champion import open_transaction
from tasks.promotion.gates import Verdict
from tasks.training.tracked import Unstable
from tests.support.samples.pool_rows import pool_row
from tests.support.servers import forked
from tests.support.worlds.batch import PATIENCE
from tests.support.worlds.pools import rainy_crops, write_pool
from tests.support.worlds.promotion import (
    PAIRS,
    add,
    decisions,
    found,
    serving,
    with_strength,
    write_validation,
)
from tests.support.worlds.promotion_driver import GATE
from tests.support.worlds.rainy import write_training_folder

NAMES = ("curate", "finetune", "distill", "evaluate", "promote")
PLACES = (
    "after-rows",
    "after-scalars",
    "after-stage=finetune",
    "after-scalars",
    "after-photograph",
    "after-gates",
    "after-ledger",
    "after-champion",
)
"""Failpoints in curate, in finetune, between finetune and distill, in distill, in evaluate, and in promote."""


@pytest.fixture
def workspace(tracking_tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a workspace with a small pool."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DERAIN_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("DERAIN_DEVICE", "cpu")
    monkeypatch.setenv("DERAIN_WORKERS", "1")
    monkeypatch.setenv("DERAIN_VALIDATION", str(write_validation(tmp_path / "validation")))
    monkeypatch.setenv("DERAIN_GATES__MIN_IMAGES", str(PAIRS))
    monkeypatch.setenv("DERAIN_GATES__MIN_SCENES", str(PAIRS))
    monkeypatch.delenv("DERAIN_TRAINING", raising=False)
    shutil.copytree(tracking_tables, tmp_path / "workspace")
    write_pool(tmp_path / "workspace", rainy_crops(4, side=160))  # large enough for windows of streaks
    return tmp_path / "workspace"


def without_server(flow: Flow[Any, State[Any]]) -> Callable[..., State[Any]]:
    """Return a flow's function, which needs no server."""
    return lambda return_state, **parameters: flow.fn(**parameters)


def retrain_to_the_end(place: str, token: str) -> None:
    """Retrain until this process and its workers are killed at a failpoint; each token allows one kill."""
    os.setsid()
    os.environ[VARIABLE] = f"{place}:group:{token}"
    for name in NAMES:
        setattr(steps, name, without_server(getattr(steps, name)))
    promotion._compared = better
    retrain.fn(preset="smoke")


def better(*arguments: object) -> tuple[Verdict, None]:
    """Return the verdict that a challenger is better, which the network of a few steps is not."""
    return Verdict((GATE,), (), (GATE,)), None


@pytest.mark.slow
def test_killed_in_every_step_the_whole_loop_is_resumed(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for number, place in enumerate(PLACES):
        (token := tmp_path / f"token {number}").touch()
        run = forked.start(retrain_to_the_end, place, str(token))
        run.join(PATIENCE)
        assert (run.exitcode, token.exists()) == (-signal.SIGKILL, False), place
    for name in NAMES:
        monkeypatch.setattr(steps, name, without_server(getattr(steps, name)))
    done = retrain.fn(preset="smoke")
    assert done.is_completed(), done.message
    assert_done_once(workspace)
    reported = Path(str(done.message).partition("results of all stages: ")[2])
    stages = json.loads(reported.read_text())["stages"]
    assert [step["name"] for step in stages] == list(NAMES)
    assert stages[-1]["line"].startswith("promoted: ")
    again = retrain.fn(preset="smoke")
    assert "nothing new to learn from" in str(again.message)


def assert_done_once(workspace: Path) -> None:
    """Assert that every step left its results exactly once."""
    settings = read_settings()
    labels = PseudoLabels(str(workspace)).rows()
    assert (labels.height, labels["crop_id"].n_unique()) == (4, 4)
    client = TrackingServer(settings).client()
    kept = {each.name: client.search_runs([each.experiment_id]) for each in client.search_experiments()}
    counts = {name: len(kept[name]) for name in ("finetuning", "distillation", "evaluation")}
    # promote decides on the measurements of evaluate
    assert counts == {"finetuning": 1, "distillation": 1, "evaluation": 1}
    assert {run.info.status for name in ("finetuning", "distillation") for run in kept[name]} == {"FINISHED"}
    assert len(client.search_model_versions(f"name = '{STUDENT}'")) == 2  # the shipped one and the challenger
    (decided,) = [row for row in Ledger(str(workspace)).rows(STUDENT) if row.decision != "adopted"]
    assert decided.decision == "promoted"
    aliases = Registry(settings).aliases(STUDENT)
    assert decided.to_version == aliases.challenger == aliases.champion


def test_a_student_is_distilled_from_what_was_fine_tuned(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    asked: dict[str, dict[str, Any]] = {}

    def step(name: str) -> Callable[..., State[Any]]:
        def run(**parameters: Any) -> State[Any]:
            asked[name] = parameters
            return Completed(message="done", data=SimpleNamespace(model=f"models:/{name}/7"))

        return run

    for name in NAMES:
        monkeypatch.setattr(steps, name, step(name))
    data = write_training_folder(workspace / "data")
    assert retrain.fn(preset="smoke", data=str(data)).is_completed()
    assert tuple(asked) == NAMES
    assert asked["finetune"]["unlabelled"] == asked["distill"]["unlabelled"] == "pool"
    assert asked["distill"]["unlabelled_teacher"] == "models:/finetune/7"
    assert asked["finetune"]["seed"] == asked["distill"]["seed"] == 1
    assert asked["evaluate"]["challenger"] == asked["promote"]["challenger"] == "models:/distill/7"


def test_anew_trains_from_another_seed_and_an_unstable_teacher_is_left_out(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: dict[str, dict[str, Any]] = {}

    def collapsed(*arguments: Any) -> None:
        raise Unstable("collapse at step 3")

    def seen(name: str) -> Callable[..., State[Any]]:
        return lambda **parameters: asked.update({name: parameters}) or Completed(message=f"{name} done")

    for name in NAMES:
        monkeypatch.setattr(steps, name, seen(name))
    monkeypatch.setattr("flows.finetune.prepare_finetuning", lambda *arguments: None)
    monkeypatch.setattr("flows.finetune.finetune_on_rain", collapsed)
    monkeypatch.setattr(steps, "finetune", without_server(finetune))
    done = retrain.fn(preset="smoke", anew=True)
    assert str(done.message).startswith("promote done")
    assert asked["distill"]["unlabelled_teacher"] == ""
    assert asked["distill"]["seed"] > 1


def test_an_unstable_student_closes_the_retraining(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    def diverged(*arguments: Any) -> None:
        raise Unstable("not finite: loss")

    for name in NAMES:
        monkeypatch.setattr(steps, name, lambda **parameters: Completed(message="done"))
    monkeypatch.setattr("flows.distill.prepare_distillation", lambda *arguments: None)
    monkeypatch.setattr("flows.distill.distil_student", diverged)
    monkeypatch.setattr(steps, "distill", without_server(distill))
    failed = retrain.fn(preset="smoke")
    assert str(failed.message).startswith("distill: not finite: loss; the retraining is closed: --anew")
    assert "nothing new to learn from" in str(retrain.fn(preset="smoke").message)


class Killed(BaseException):
    """Stands in for SIGKILL."""


@pytest.mark.parametrize("place", ["after-ledger", "after-previous", "after-champion", "after-read-back"])
def test_a_retraining_killed_in_its_promotion_does_not_refuse_it(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, place: str
):
    def killed(reached: str, *arguments: str) -> None:
        if reached == place:
            raise Killed

    settings = read_settings()
    champion, student = with_strength(0.0), with_strength(1.0)
    found(settings, champion)
    with open_transaction(settings, "founding"):
        pass
    model = SimpleNamespace(model=add(Registry(settings), student))
    for name in NAMES[:-1]:
        monkeypatch.setattr(steps, name, lambda **parameters: Completed(message="done", data=model))
    monkeypatch.setattr(steps, "promote", without_server(steps.promote))
    monkeypatch.setattr(promotion, "_compared", better)
    with monkeypatch.context() as patch:
        patch.setattr("tasks.promotion.champion.failpoint", killed)
        with pytest.raises(Killed):
            retrain.fn(preset="smoke")
    done = retrain.fn(preset="smoke")
    assert str(done.message).startswith("promoted: derain-student/2 is champion, derain-student/1 before")
    assert decisions(settings) == [("adopted", None, "1"), ("promoted", "1", "2")]
    assert serving(settings) == "2"


def test_a_step_that_fails_is_named(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(steps, "curate", lambda **parameters: Failed(message="no room"))
    failed = retrain.fn(preset="smoke")
    assert failed.is_failed()
    assert str(failed.message).startswith("curate: no room; the next run resumes here")


def test_a_pool_without_rain_does_not_keep_later_crops_from_being_learned(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    curated = []
    monkeypatch.setattr(steps, "curate", lambda **_: curated.append(1) or Completed(message="0 accepted"))
    monkeypatch.setattr(steps, "finetune", without_server(steps.finetune))
    dry = retrain.fn(preset="smoke")
    assert dry.is_completed()
    assert str(dry.message).startswith("nothing to learn from: no streaks of real rain in the pool of")
    assert "nothing new to learn from" in str(retrain.fn(preset="smoke").message)
    write_pool(workspace, rainy_crops(2, side=150), run_id="later")
    retrain.fn(preset="smoke")
    assert len(curated) == 2


def test_a_pool_without_training_crops_completes_without_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DERAIN_WORKSPACE", str(tmp_path / "workspace"))
    rows = [pool_row("a", split="validation")]
    Pool(str(tmp_path / "workspace")).commit(rows, replace=False)
    refuse(read_settings(), preset="smoke", data="", decisions=None, anew=False)
    idle = retrain.fn(preset="smoke")
    assert idle.is_completed()
    assert "has 1 crops in the split validation" in str(idle.message)
    assert not (tmp_path / "workspace" / "retrainings").exists()


def test_a_preset_that_there_is_not_is_named_before_anything_is_done(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DERAIN_WORKSPACE", raising=False)
    failed = retrain.fn(preset="huge")
    assert str(failed.message) == "preset 'huge': unknown; choose from smoke, cpu, gpu"
    assert list(tmp_path.iterdir()) == []
