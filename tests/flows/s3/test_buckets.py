"""derain-batch from bucket to bucket, with its workspace in a bucket, on a real object gateway."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from infra.storage.lease import Lease, LeaseHeld, lease_location
from infra.storage.location import open_location
from infra.storage.zarr_store import create_array, open_array
from tests.support.servers.dask_cluster import DaskCluster, wait_until
from tests.support.servers.faulty_proxy import Fault, FaultyProxy
from tests.support.worlds.batch import PATIENCE, frames
from tests.support.worlds.buckets import Rain, contents

pytestmark = [pytest.mark.ceph, pytest.mark.slow]
IMAGES = 24
PUT_OUTPUT = "PUT */out/derained/camera*"


def test_everything_is_derained_once_and_made_again_where_it_is_gone(rain: Rain) -> None:
    first = rain.derain()
    assert (first.state, first.counts.derained) == ("Completed", IMAGES)
    rain.assert_done()
    assert any(rain.outputs()[key] != data for key, data in rain.photographs.items())
    rows = rain.rows()
    second = rain.derain()
    assert (second.counts.derained, second.counts.done_before) == (0, IMAGES)
    gone = sorted(rain.photographs)[IMAGES // 2]
    open_location(rain.destination).delete(gone)
    assert rain.derain().counts.derained == 1
    assert rain.rows() == rows
    rain.assert_done()


def test_all_that_a_run_keeps_is_in_the_bucket(rain: Rain) -> None:
    rain.derain()
    folders = {key.split("/")[0] for key in contents(rain.settings.workspace)}
    assert folders == {"catalog", "leases", "models"}
    assert all("derained" not in key for key in contents(rain.source))


@pytest.mark.parametrize("there", ["source", "destination"])
def test_a_folder_can_be_the_other_end(rain: Rain, tmp_path: Path, there: str) -> None:
    mixed = replace(rain, **{there: str(tmp_path / "folder")}).fill()
    assert mixed.derain().counts.derained == IMAGES
    mixed.assert_done()
    assert mixed.derain().counts.derained == 0


def test_frames_of_an_array_become_frames_of_an_array(rain: Rain, bucket: str) -> None:
    film = frames(5)
    create_array(f"{bucket}/film.zarr", film.shape, (2, *film.shape[1:]))[:] = film
    ends = {"source": f"{bucket}/film.zarr", "destination": f"{bucket}/dry.zarr"}
    assert rain.derain(**ends).counts.derained == len(film)
    derained = np.asarray(open_array(f"{bucket}/dry.zarr")[:])
    assert derained.shape == film.shape
    assert all((derained[number] != film[number]).any() for number in range(len(film)))
    assert rain.derain(**ends).counts.derained == 0
    open_location(f"{bucket}/dry.zarr").delete("c/3/0/0/0")
    assert rain.derain(**ends).counts.derained == 1
    assert (np.asarray(open_array(f"{bucket}/dry.zarr")[:]) == derained).all()


def test_a_lease_of_a_living_holder_is_respected_and_one_given_back_is_not(rain: Rain) -> None:
    leases = lease_location(rain.settings.workspace)
    with Lease(leases, rain.destination, "the-first", 30.0):
        with pytest.raises(LeaseHeld, match=r"run the-first on .*process"):
            rain.derain()
        assert rain.outputs() == {}
    assert rain.derain().state == "Completed"


PLACES = {
    "during a put": (PUT_OUTPUT, 9),
    "while the table is made": ("PUT *_delta_log/*", 1),
    "during a commit": ("PUT *_delta_log/*", 3),
}


@pytest.mark.parametrize("place", PLACES)
def test_killed_and_run_again_it_ends_as_if_undisturbed(
    place: str, rain: Rain, proxy: FaultyProxy, tmp_path: Path
) -> None:
    pattern, number = PLACES[place]
    rain.derain(destination=f"{rain.destination} undisturbed")
    undisturbed = [row | {"destination": rain.destination} for row in rain.rows()]
    if place == "while the table is made":
        rain = rain.but(workspace=f"{rain.settings.workspace} 2")
    # The request is held back until its sender is dead, and then arrives nevertheless.
    proxy.slow_seconds = 3
    proxy.script(pattern, [*[None] * (number - 1), Fault.SLOW])
    rain.killed_when(lambda: Fault.SLOW in proxy.struck(), tmp_path / "printed")
    assert rain.outputs().items() <= rain.expected().items()
    resumed = rain.derain()  # at once: a dead process of this machine holds no lease
    assert (resumed.state, resumed.counts.pending) == ("Completed", 0)
    assert rain.outputs() == rain.expected()
    assert [row for row in rain.rows() if row["destination"] == rain.destination] == undisturbed


def test_killed_again_and_again_it_ends_as_if_undisturbed(rain: Rain, tmp_path: Path) -> None:
    rain.derain(destination=f"{rain.destination} undisturbed")
    undisturbed = [row | {"destination": rain.destination} for row in rain.rows()]
    recorded = []
    for place in ("before-commit", "after-commit", "between-waves"):
        rain.killed_at(place, tmp_path)
        recorded.append(len(rain.rows()) - IMAGES)
        assert rain.outputs().items() <= rain.expected().items()
    assert 0 == recorded[0] < recorded[1] < recorded[2] < IMAGES  # a wave that was put is not yet recorded
    assert rain.derain().counts.done_before == recorded[-1]
    assert rain.outputs() == rain.expected()
    assert [row for row in rain.rows() if row["destination"] == rain.destination] == undisturbed


def test_a_run_with_local_workers_is_killed_with_them(rain: Rain, proxy: FaultyProxy, tmp_path: Path) -> None:
    proxy.script(PUT_OUTPUT, [*[None] * 9, Fault.SLOW])
    rain.but(cluster=None).killed_when(lambda: Fault.SLOW in proxy.struck(), tmp_path / "printed")
    assert rain.derain().state == "Completed"
    rain.assert_done()


def test_a_worker_killed_on_the_way_costs_nothing(
    rain: Rain, workers: DaskCluster, proxy: FaultyProxy
) -> None:
    victim = workers.pids()[0]
    proxy.slow_seconds = 3
    proxy.script(PUT_OUTPUT, [*[None] * 5, *[Fault.SLOW] * 9])  # while all three workers are writing
    with ThreadPoolExecutor(1) as running:
        run = running.submit(rain.derain)
        wait_until(lambda: Fault.SLOW in proxy.struck())
        os.kill(victim, signal.SIGKILL)
        summary = run.result(PATIENCE)
    assert (summary.state, summary.counts.derained) == ("Completed", IMAGES)
    rain.assert_done()
    wait_until(lambda: len(workers.pids()) == 3)
    assert victim not in workers.pids()
