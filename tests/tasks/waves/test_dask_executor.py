"""Runs on a cluster whose workers join, leave and differ, and whose scheduler disappears."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from infra.dask.cluster import ClusterUnreachable
from infra.failpoints import VARIABLE
from infra.settings import Settings
from tasks.waves.dask_executor import on_dask
from tasks.waves.executors import Executor
from tests.support.servers.dask_cluster import DaskCluster, dask_cluster, wait_until
from tests.support.worlds.batch import PATIENCE, World, stacks

pytestmark = pytest.mark.slow
IMAGES = 40


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[DaskCluster]:
    """Run a scheduler with one worker."""
    with dask_cluster(tmp_path / "dask", workers=1) as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, elsewhere: DaskCluster) -> World:
    """Return photographs, each of which is a separate shard and wave."""
    return world_on(elsewhere, tmp_path)


def world_on(cluster: DaskCluster, root: Path, **settings: object) -> World:
    chosen = {"workspace": str(root / "workspace"), "cluster": cluster.address, "shard_images": 1}
    here = World(root, Settings(**{**chosen, "wave_shards": 1, **settings}, _env_file=None))
    here.put_photos(IMAGES)
    return here


@pytest.fixture
def start(world: World) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Yield a function that starts a run of the world, which does not outlive its test."""
    started: list[subprocess.Popen[str]] = []

    def run(fault: str = "") -> subprocess.Popen[str]:
        started.append(world.start(fault, {"DERAIN_CLUSTER": str(world.settings.cluster)}))
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            stacks(process)


def test_a_worker_that_joins_in_the_middle_gets_work(
    world: World, elsewhere: DaskCluster, start: Callable[..., subprocess.Popen[str]]
) -> None:
    token = world.root / "token"
    token.touch()
    run = start(f"before-commit:stop:{token}")
    wait_until(
        lambda: not token.exists()
    )  # during the run, the coordinator waits until the other worker has joined
    with elsewhere.joined_by("late"):
        run.send_signal(signal.SIGCONT)
        printed = run.communicate(timeout=PATIENCE)
        executed = elsewhere.executed()
    assert run.returncode == 0, printed
    assert all(executed[name] > 0 for name in ("worker-0", "late"))
    assert_all_derained(world)


def test_a_worker_that_is_stopped_in_the_middle_gives_its_work_back(
    world: World, elsewhere: DaskCluster, start: Callable[..., subprocess.Popen[str]]
) -> None:
    token = world.root / "token"
    token.touch()
    with elsewhere.joined_by("leaving", variables={VARIABLE: f"decode:stop:{token}"}) as leaving:
        run = start()
        wait_until(lambda: not token.exists(), leaving)
        leaving.terminate()
        leaving.send_signal(signal.SIGCONT)
        assert leaving.wait(PATIENCE) == 0
        printed = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, printed
    assert_all_derained(world)


def test_a_scheduler_that_goes_away_is_one_line_and_the_next_run_continues(
    world: World, elsewhere: DaskCluster, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    run = start()
    wait_until(lambda: len(world.outputs()) > 0)
    elsewhere.scheduler.kill()
    printed, errors = run.communicate(timeout=PATIENCE)
    assert (run.returncode, printed.count("the Dask scheduler went away")) == (1, 1), printed + errors
    assert "Traceback" not in errors, errors
    assert "distributed" not in errors, errors
    with dask_cluster(tmp_path / "restarted", workers=1) as restarted:
        again = replace(world, settings=world.settings.model_copy(update={"cluster": restarted.address}))
        assert again.derain().state == "Completed"
    assert_all_derained(world)


def test_only_workers_that_offer_what_shards_take_get_them(elsewhere: DaskCluster, tmp_path: Path) -> None:
    with elsewhere.joined_by("device", "--nthreads", "4", "--resources", "GPU=1 MEM=2"):
        world = world_on(elsewhere, tmp_path, resources="GPU=1")
        assert world.derain().state == "Completed"
        executed = elsewhere.executed()
    assert executed["worker-0"] == 0
    assert executed["device"] >= IMAGES
    assert_all_derained(world)


def test_a_device_runs_one_shard_at_a_time(elsewhere: DaskCluster, tmp_path: Path) -> None:
    """The worker has four threads; creating the folder fails while another shard has created it."""
    alone = ["sh", "-c", f"mkdir {tmp_path}/busy && sleep 0.1 && rmdir {tmp_path}/busy"]
    with (
        elsewhere.joined_by("device", "--nthreads", "4", "--resources", "GPU=1"),
        executor(elsewhere, "GPU=1") as device,
    ):
        assert device.workers == 1
        answers = device.submit_all(subprocess.call, [alone] * 8, [f"alone-{n}" for n in range(8)], 0)
        assert [answer.result(timeout=PATIENCE) for answer in answers] == [0] * 8


def test_resources_that_no_worker_offers_are_refused_in_one_line(elsewhere: DaskCluster) -> None:
    reported = r"no worker offers GPU=1 \(DERAIN_RESOURCES\); start some with .* --resources"
    with pytest.raises(ClusterUnreachable, match=reported), executor(elsewhere, "GPU=1"):
        raise AssertionError("connected")


def executor(cluster: DaskCluster, resources: str) -> AbstractContextManager[Executor]:
    return on_dask(Settings(cluster=cluster.address, resources=resources, _env_file=None))


def assert_all_derained(world: World) -> None:
    assert {row["key"] for row in world.rows() if row["status"] == "derained"} == world.outputs().keys()
    assert len(world.rows()) == IMAGES
