"""Podman with its own store, and the images of this project in it, which are built once and kept for later runs.

If no registry can be reached, the base image is made from Debian's packages. pip in a build uses the pip
configuration of this machine.
"""

from __future__ import annotations

import fcntl
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.servers.server_processes import ROOT

PROGRAMS = ("podman", "buildah", "runc", "mmdebstrap", "iptables", "catatonit", "ip")
PACKAGES = "podman buildah runc mmdebstrap netavark aardvark-dns catatonit conmon iptables iproute2"
STORE = Path(os.environ.get("DERAIN_TEST_CONTAINERS", "/var/tmp/derain-flows-tests"))
BUILD_SECONDS = 3600
COMMAND_SECONDS = 300
WORKER, DERAIN, POSTGRES = "localhost/derain-worker", "localhost/derain-flows", "localhost/postgres"
_DEBIAN, _PYTHON = "localhost/debian:bookworm-slim", "localhost/python:3.11-slim"
_SUPPORT = ROOT / "tests" / "support" / "images"

CONF = """
[containers]
default_ulimits = ["nofile={files}:{files}", "nproc=16384:16384"]
[network]
network_backend = "netavark"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""
STORAGE = """
[storage]
driver = "overlay"
graphroot = "{folder}/store"
runroot = "{folder}/run"
"""


def missing() -> str | None:
    """Return why containers cannot be run here, or None."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"no containers here: {', '.join(absent)} (apt-get install {PACKAGES})"
    return None if os.geteuid() == 0 else "containers are tested as root: networks and namespaces need it"


@dataclass(frozen=True, slots=True)
class Podman:
    """Podman and buildah with one store."""

    environment: Mapping[str, str]

    def __call__(self, *words: str, seconds: float = COMMAND_SECONDS) -> str:
        """Run a podman command that must succeed, and return what it printed."""
        return self.done("podman", *words, seconds=seconds)

    def done(self, *words: str, seconds: float = COMMAND_SECONDS) -> str:
        """Run any command with the store; it must succeed."""
        ended = subprocess.run(
            words,
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert ended.returncode == 0, f"{words}: {ended.stdout[-4000:]}{ended.stderr[-4000:]}"
        return ended.stdout.strip()

    def build(self, image: str, context: str, *options: str, seconds: float = BUILD_SECONDS) -> None:
        """Build an image from a folder with a Dockerfile; unchanged steps are taken from the store."""
        words = [
            "buildah",
            "build-using-dockerfile",
            "--layers",
            "--isolation",
            "chroot",
            "--network",
            "host",
        ]
        words += ["--pull-never", "--quiet", "--tag", image, *options, context]
        self.done(*words, seconds=seconds)

    def has(self, image: str) -> bool:
        """Return whether an image is in the store."""
        return bool(self("images", "--quiet", image))

    @contextmanager
    def container(self, *words: str) -> Iterator[str]:
        """Run a container in the background, and remove it after the block."""
        name = self("run", "--detach", "--pull", "never", *words)
        try:
            yield name
        finally:
            self("rm", "--force", "--time", "0", name)


def podman() -> Podman:
    """Set podman up for this machine."""
    STORE.mkdir(parents=True, exist_ok=True)
    # If limits cannot be raised on a system, podman's own defaults are refused.
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    conf, storage = STORE / "containers.conf", STORE / "storage.conf"
    conf.write_text(CONF.format(files=files))
    storage.write_text(STORAGE.format(folder=STORE))
    found = {
        name: value for name, value in os.environ.items() if not name.startswith(("DERAIN_", "PREFECT_"))
    }
    own = {"CONTAINERS_CONF": str(conf), "CONTAINERS_STORAGE_CONF": str(storage)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return Podman({**found, **own, "PATH": path})


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Lock the block against other test processes of this machine."""
    STORE.mkdir(parents=True, exist_ok=True)
    with (STORE / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def images() -> Podman:
    """Build the images WORKER, DERAIN and POSTGRES if they are missing or out of date."""
    engine = podman()
    with alone("build"):
        build_bases(engine)
        for target, image in (("worker", WORKER), ("derain", DERAIN)):
            engine.build(image, ".", "--target", target, "--build-arg", "TORCH_INDEX=", *_pip_mounts())
    return engine


def build_bases(engine: Podman) -> None:
    """Build what a registry would provide: images of Debian, Python and PostgreSQL."""
    if not engine.has(_DEBIAN):
        _import_debian(engine)
    engine.build(_PYTHON, str(_SUPPORT / "python"))
    engine.build(POSTGRES, str(_SUPPORT / "postgres"))


def _import_debian(engine: Podman) -> None:
    """Make a base image from Debian's packages, fetched from this machine's own sources."""
    archive = STORE / "debian.tar"
    packages = "ca-certificates,python3,python3-pip,python3-venv"
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    sources = sources if sources.exists() else Path("/etc/apt/sources.list")
    made = ["mmdebstrap", "--quiet", "--variant=apt", f"--include={packages}", "bookworm", str(archive)]
    engine.done(*made, str(sources), seconds=BUILD_SECONDS)
    engine("import", "--quiet", str(archive), _DEBIAN, seconds=BUILD_SECONDS)
    archive.unlink()


def _pip_mounts() -> list[str]:
    """Return the mounts that give a build this machine's pip configuration and the local paths in it."""
    asked = [sys.executable, "-m", "pip", "config", "debug"]
    reported = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    files = re.findall(r"^\s*(/.*), exists: True$", reported, re.MULTILINE)
    words = " ".join([*(Path(file).read_text() for file in files), os.environ.get("PIP_FIND_LINKS", "")])
    paths = re.findall(r"(?:file://|(?<=[\s=]))(/[^\s,]+)", words)
    local = {path.removesuffix("/simple") for path in paths}
    return [f"--volume={path}:{path}:ro" for path in sorted({*files, *local}) if Path(path).exists()]


if __name__ == "__main__":
    images()
