"""A SLURM cluster of one node on this machine: munge, controller and node daemon, with files in one folder."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.servers.ceph import free_ports
from tests.support.servers.server_processes import running, wait_for

PROGRAMS = ("slurmctld", "slurmd", "srun", "sbatch", "scancel", "munged")
PACKAGES = "slurmctld slurmd slurm-client munge"

CONF = """
ClusterName=tested
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=12000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
"""


def missing_programs() -> list[str]:
    """Return the required programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Run the daemons as root; yield the environment in which `sbatch` and the other commands find them."""
    host = socket.gethostname().partition(".")[0]
    controller, node = free_ports(2)
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    key, conf = folder / "munge.key", folder / "slurm.conf"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    conf.write_text(CONF.format(host=host, controller=controller, node=node, folder=folder))
    environment = {**os.environ, "SLURM_CONF": str(conf)}
    munge = [
        f"--{name}={folder}/munge.{name.partition('-')[0]}" for name in ("socket", "key-file", "pid-file")
    ]
    munge += [f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed"]
    daemons = (
        ["munged", "--foreground", "--force", *munge],
        ["slurmctld", "-D", "-c", "-f", str(conf)],
        ["slurmd", "-D", "-f", str(conf), "-N", host],
    )
    with ExitStack() as stack:
        for command in daemons:
            stack.enter_context(running(command, environment, folder / f"{command[0]}.out", folder))
            if command[0] == "munged":
                wait_for((folder / "munge.socket").exists, "munged does not start")
        wait_for(lambda: _runs_a_job(environment), "SLURM runs no job")
        yield environment


def _runs_a_job(environment: dict[str, str]) -> bool:
    command = ["timeout", "20", "srun", "--ntasks=1", "true"]  # srun might wait for ever
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
