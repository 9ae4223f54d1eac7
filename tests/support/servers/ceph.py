"""A temporary Ceph object gateway on loopback: monitor, manager, one storage daemon in memory, gateway.

To inspect one by hand, run `python -m tests.support.servers.ceph /tmp/ceph`, which keeps it up until interrupted.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = (
    "radosgw",
    "radosgw-admin",
    "ceph",
    "ceph-mon",
    "ceph-mgr",
    "ceph-osd",
    "ceph-authtool",
    "monmaptool",
)
READY_SECONDS = 90.0
SERVER_PORTS = range(10_000, 32_000)

CONF = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]
mon initial members = a
public network = 127.0.0.0/8
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 1000
osd crush chooseleaf type = 0
run dir = {folder}/run
admin socket =
log file = {folder}/log/$name.log
keyring = {folder}/keyring
[mon.a]
host = localhost
mon data = {folder}/mon
[mgr.x]
mgr data = {folder}/mgr
mgr initial modules =
[osd.0]
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 4294967296
[client.rgw.s3]
rgw frontends = beast endpoint={address}:{port} tcp_nodelay=1
rgw data = {folder}/rgw
rgw thread pool size = 64
rgw enable ops log = false
rgw enable usage log = false
"""


@dataclass(frozen=True, slots=True)
class Gateway:
    """Address and credentials of a gateway."""

    endpoint: str
    access_key: str
    secret_key: str


def missing_programs() -> list[str]:
    """Return the programs that a gateway needs and that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


@contextmanager
def gateway(folder: Path, address: str = "127.0.0.1") -> Iterator[Gateway]:
    """Run a cluster with one user and its files in `folder`; stop all of it after the block.

    Only the gateway listens at `address`; the rest of the cluster listens on loopback.
    """
    cluster = Cluster(folder, address)
    with ExitStack() as running:
        cluster.start(running)
        yield cluster.gateway


class Cluster:
    """The daemons of one cluster, started in the order of their dependencies."""

    def __init__(self, folder: Path, address: str) -> None:
        self._folder = folder
        self._conf = folder / "ceph.conf"
        v1, v2, port = free_ports(3)
        self._monitor = f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]"
        self._fsid = str(uuid.uuid4())
        for name in ("mon", "mgr", "osd", "run", "rgw", "log"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        values = {"fsid": self._fsid, "folder": folder, "v1": v1, "v2": v2, "address": address, "port": port}
        self._conf.write_text(CONF.format(**values))
        self.gateway = Gateway(f"http://{address}:{port}", "testkey", "testsecret123")

    def start(self, running: ExitStack) -> None:
        self._start_monitor(running)
        self._start_manager(running)
        self._start_storage(running)
        self._start_gateway(running)

    def _start_monitor(self, running: ExitStack) -> None:
        keyring, monmap = str(self._folder / "keyring"), str(self._folder / "monmap")
        everything = ["--cap", "mon", "allow *"]
        self._run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", *everything)
        everything += ["--cap", "osd", "allow *", "--cap", "mgr", "allow *"]
        self._run("ceph-authtool", keyring, "--gen-key", "-n", "client.admin", *everything)
        self._run("monmaptool", "--create", "--fsid", self._fsid, "--addv", "a", self._monitor, monmap)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
        self._daemon(running, "ceph-mon", "-i", "a")

    def _start_manager(self, running: ExitStack) -> None:
        self._add_key("mgr.x", mon="allow profile mgr", osd="allow *", mds="allow *")
        self._daemon(running, "ceph-mgr", "-i", "x")

    def _start_storage(self, running: ExitStack) -> None:
        identity = str(uuid.uuid4())
        self._run("ceph", "osd", "new", identity)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", identity, "--no-mon-config")
        self._run("ceph", "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=localhost")
        self._add_key("osd.0", mon="allow profile osd", mgr="allow profile osd", osd="allow *")
        self._daemon(running, "ceph-osd", "-i", "0")

    def _start_gateway(self, running: ExitStack) -> None:
        self._add_key("client.rgw.s3", mon="allow *", osd="allow *", mgr="allow *")
        daemon = self._daemon(running, "radosgw", "-n", "client.rgw.s3")
        wait_for_port(self.gateway.endpoint, daemon)
        keys = ["--access-key", self.gateway.access_key, "--secret-key", self.gateway.secret_key]
        self._run("radosgw-admin", "user", "create", "--uid=tester", "--display-name=tester", *keys)

    def _add_key(self, name: str, **caps: str) -> None:
        pairs = [word for cap in caps.items() for word in cap]
        made = self._run("ceph", "auth", "get-or-create", name, *pairs)
        with (self._folder / "keyring").open("a") as keyring:
            keyring.write(made)

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            [*command, "-c", str(self._conf)],
            capture_output=True,
            text=True,
            timeout=READY_SECONDS,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
        return done.stdout

    def _daemon(self, running: ExitStack, *command: str) -> subprocess.Popen[bytes]:
        # A killed test run must not leave a cluster running: the kernel kills the daemon with its parent.
        tied = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        output = running.enter_context((self._folder / "log" / f"{command[0]}.out").open("wb"))
        process = subprocess.Popen(
            [*tied, *command, "-f", "-c", str(self._conf)],
            stdout=output,
            stderr=output,
            env=os.environ.copy(),
        )
        running.callback(stop, process)
        return process


def free_ports(count: int) -> list[int]:
    """Return distinct ports that nobody listens on.

    They are below the range for outgoing connections, which might take a port in the seconds before a server
    listens on it.
    """
    # Not the seeded generator, which would give the same ports to several test processes at once.
    shuffled = random.SystemRandom().sample(SERVER_PORTS, len(SERVER_PORTS))
    return list(itertools.islice(filter(_is_free, shuffled), count))


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_for_port(endpoint: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until something accepts connections, or its process exits."""
    address, port = endpoint.removeprefix("http://").split(":")
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        try:
            socket.create_connection((address, int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"{endpoint} does not answer")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Kill a daemon; nothing on its disk needs care."""
    process.kill()
    process.wait()


if __name__ == "__main__":
    with gateway(Path(sys.argv[1]).absolute()) as found:
        sys.stdout.write(f"export AWS_ENDPOINT_URL={found.endpoint} AWS_ACCESS_KEY_ID={found.access_key} ")
        sys.stdout.write(f"AWS_SECRET_ACCESS_KEY={found.secret_key}\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            time.sleep(1e9)
