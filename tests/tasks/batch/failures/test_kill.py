"""Runs killed by SIGKILL at any point: the next run ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.failpoints import VARIABLE
from infra.storage.lease import LeaseHeld
from infra.storage.location import open_location
from tests.support.worlds.batch import PATIENCE, World, outputs, stacks

pytestmark = pytest.mark.slow

IMAGES = 15
VICTIM = "night/006.png"
"""An image in the middle of the work."""
PLACES = (
    f"during-put={VICTIM.rpartition('/')[2]}",
    f"after-put={VICTIM}",
    "before-commit",
    "after-commit",
    "between-waves",
)
Undisturbed = tuple[dict[str, bytes], list[dict[str, Any]]]


@pytest.fixture
def run(world: World) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Yield a function that starts runs of the world, which do not outlive their test."""
    started = []

    def start(fault: str) -> subprocess.Popen[str]:
        started.append(world.start(fault))
        return started[-1]

    yield start
    for process in started:
        _kill(process)
        process.communicate(timeout=PATIENCE)


@pytest.fixture
def undisturbed(world: World) -> Undisturbed:
    """Return the results of an undisturbed run, and remove them, so that the images are pending again."""
    world.put_photos(IMAGES)
    world.put("night/007 bad.jpg", b"")
    world.derain()
    left = world.outputs(), world.rows()
    world.destination.rename(world.root / "undisturbed")
    Path(world.settings.workspace).rename(world.root / "undisturbed workspace")
    return left


@pytest.mark.parametrize("place", PLACES)
def test_killed_with_all_its_workers(
    place: str, world: World, undisturbed: Undisturbed, run: Callable[[str], subprocess.Popen[str]]
) -> None:
    token = _token(world)
    errors = _ended(process := run(f"{place}:group:{token}"))
    assert (process.returncode, token.exists()) == (-signal.SIGKILL, False), errors
    listed = {ref.key for ref in open_location(str(world.destination)).list()}
    assert listed == world.outputs().keys()  # unfinished files are not listed as images
    assert half_written(world) or not place.startswith("during-put")
    torn = {key for key, data in world.outputs().items() if data != undisturbed[0][key]}
    assert not torn
    resumed = world.derain()
    assert resumed.state == "Completed"
    assert resumed.counts.done_before + resumed.counts.derained + resumed.counts.rejected == IMAGES + 1
    assert (world.outputs(), world.rows()) == undisturbed
    assert half_written(world) == []
    assert world.derain().counts.derained == 0


@pytest.mark.parametrize("sign", ["table", "log of the second commit"])
def test_killed_while_a_commit_is_written(
    sign: str, world: World, undisturbed: Undisturbed, run: Callable[[str], subprocess.Popen[str]]
) -> None:
    table = Path(world.settings.workspace, "catalog", "derained")
    signs = {
        "table": lambda: _count(table / "_delta_log", "") >= 1,
        "log of the second commit": lambda: _count(table / "_delta_log", ".json") >= 3,
    }
    process = run("decode:slow:0.3")  # so that it has not ended yet
    _wait_for(signs[sign], process)
    _kill(process)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL
    assert world.derain().state == "Completed"
    assert (world.outputs(), world.rows()) == undisturbed


@pytest.mark.parametrize("place", PLACES[:1])
def test_a_run_whose_worker_is_killed_ends(
    place: str,
    new_world: Callable[..., World],
    world: World,
    undisturbed: Undisturbed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = _token(world)
    monkeypatch.setenv(VARIABLE, f"{place}:self:{token}")
    own_workers = World(world.root, world.settings.model_copy(update={"cluster": None, "workers": 2}))
    summary = own_workers.derain()
    assert not token.exists()
    assert (summary.state, summary.counts.derained) == ("Completed", IMAGES)
    assert (world.outputs(), world.rows()) == undisturbed


def test_an_image_that_kills_its_worker_is_found_and_the_others_are_derained(
    world: World, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, f"decode={VICTIM}:self")
    changes = {"cluster": None, "workers": 2, "shard_images": 2}
    own_workers = World(world.root, world.settings.model_copy(update=changes))
    summary = own_workers.derain()
    counts = summary.counts
    assert (summary.state, counts.derained, counts.rejected) == ("Completed", IMAGES - 1, 2), summary.message
    reasons = world.reasons()
    assert reasons[VICTIM] == "the process that derains it dies each time"
    assert len(reasons) == IMAGES + 1
    assert world.outputs() == {key: data for key, data in undisturbed[0].items() if key != VICTIM}
    monkeypatch.delenv(VARIABLE)
    assert world.derain(redo="rejected").counts.derained == 1
    assert (world.outputs(), world.rows()) == undisturbed


def test_the_second_of_two_concurrent_runs_is_refused_with_the_holder(
    world: World, undisturbed: Undisturbed, run: Callable[[str], subprocess.Popen[str]]
) -> None:
    first = run("")
    _wait_for(lambda: _count(Path(world.settings.workspace, "leases"), ".json") >= 1, first)
    with pytest.raises(LeaseHeld, match=f"process {first.pid}"):
        world.derain()
    elsewhere = world.root / "elsewhere"
    assert world.derain(destination=str(elsewhere)).state == "Completed"
    errors = _ended(first)
    assert first.returncode == 0, errors
    assert outputs(elsewhere) == undisturbed[0]
    assert world.outputs() == undisturbed[0]
    assert [row for row in world.rows() if row["destination"] == str(world.destination)] == undisturbed[1]
    assert len(world.rows()) == 2 * (IMAGES + 1)


def _ended(process: subprocess.Popen[str]) -> str:
    """Wait for a run and return what it wrote to stderr."""
    try:
        return process.communicate(timeout=PATIENCE)[1]
    except subprocess.TimeoutExpired:
        pytest.fail(stacks(process))


def half_written(world: World) -> list[Path]:
    return [path for path in world.root.rglob(".derain-*.tmp") if path.is_file()]


def _token(world: World) -> Path:
    token = world.root / "token"
    token.touch()
    return token


def _count(folder: Path, suffix: str) -> int:
    try:
        return sum(name.endswith(suffix) for name in os.listdir(folder))
    except FileNotFoundError:
        return 0


def _wait_for(sign: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not sign():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, stacks(process)
        time.sleep(0.001)


def _kill(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
