"""The example for SLURM, on a real SLURM of one node: workers are jobs, and they derain a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.settings import Settings
from tests.support.containers.slurm import PACKAGES, missing_programs, slurm
from tests.support.servers.server_processes import ROOT
from tests.support.worlds.batch import PATIENCE, World, model_path

pytestmark = [pytest.mark.containers, pytest.mark.slow]


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    absent = missing_programs()
    reason = f"no SLURM here: {', '.join(absent)} (apt-get install {PACKAGES})" if absent else None
    if os.geteuid() != 0:
        reason = "SLURM is tested as root: its daemons need it"
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    with slurm(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


def test_jobs_of_slurm_derain_a_folder(queue: dict[str, str], tmp_path: Path) -> None:
    here = World(tmp_path, Settings(workspace=str(tmp_path / "workspace"), _env_file=None))
    keys = here.put_photos(12)
    asked = ["--source", here.source, "--destination", here.destination, "--model", model_path(tmp_path)]
    ended = subprocess.run(
        [sys.executable, ROOT / "examples" / "slurm_cluster.py", *asked],
        cwd=tmp_path,
        env={
            **queue,
            "DERAIN_WORKSPACE": here.settings.workspace,
            "SCHEDULER_HOST": "127.0.0.1",
            "PYTHONPATH": str(ROOT),
            "PREFECT_HOME": str(tmp_path / "prefect"),
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{len(keys)} derained, 0 rejected, 0 pending" in ended.stdout
    assert sorted(here.outputs()) == keys
    over_there = subprocess.run(
        ["squeue", "--noheader"], env=queue, capture_output=True, text=True, check=True
    ).stdout
    assert "R" not in over_there.split()  # the jobs have ended
