"""Run derain-batch on workers that are SLURM jobs: `python examples/slurm_cluster.py --source /nfs/rainy ...`.

All options are passed to derain-batch. Run it on a node that compute nodes can reach, such as the login node. For
LSF, PBS or HTCondor use LSFCluster, PBSCluster or HTCondorCluster of dask_jobqueue, which have the same parameters.
Scheduler and workers talk in plain TCP: where other users share the network, give the cluster a `security` of
`distributed.security.Security` with certificates, and the same ones to derain-batch as `DERAIN_TLS_*`.
"""

from __future__ import annotations

import os
import subprocess
import sys

from dask_jobqueue import SLURMCluster

JOBS = int(os.environ.get("JOBS", "2"))


def main() -> int:
    """Start a scheduler here and workers as jobs, derain, and end the jobs."""
    with SLURMCluster(
        cores=1,
        processes=1,
        memory="3GiB",
        walltime="04:00:00",
        python=sys.executable,
        scheduler_options={"host": os.environ.get("SCHEDULER_HOST", "")},
        worker_extra_args=["--no-dashboard", "--memory-limit", "0"],  # SLURM itself limits the memory
    ) as cluster:
        cluster.scale(jobs=JOBS)
        cluster.wait_for_workers(1)
        command = [sys.executable, "-m", "flows.derain_batch", *sys.argv[1:]]
        environment = {**os.environ, "DERAIN_CLUSTER": cluster.scheduler_address}
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
