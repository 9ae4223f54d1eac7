"""Whether this machine can run containers and make base images: `python -m tests.support.containers.probe`.

Prints why not, and exits with 1.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from infra.errors import one_line
from tests.support.containers.containers import Podman, alone, build_bases, missing, podman
from tests.support.containers.hosts import network

SECONDS = 60
IMAGE = "localhost/derain-probe"
CONTEXT = "FROM scratch\nCOPY catatonit /\n"
"""catatonit is the smallest program that podman needs anyway; it is linked statically."""


def obstacle() -> str | None:
    """Return in one line why no containers can be run here, or None."""
    if reason := missing():
        return reason
    try:
        with tempfile.TemporaryDirectory() as folder:
            _run_a_container(podman(), Path(folder))
        with alone("build"):
            build_bases(podman())
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        return f"no containers here: {one_line(error)}"
    return None


def _run_a_container(engine: Podman, context: Path) -> None:
    """Build an image, and run it on a bridge with limits and in a network namespace of its own."""
    (context / "Dockerfile").write_text(CONTEXT)
    shutil.copy(str(shutil.which("catatonit")), context / "catatonit")
    engine.build(IMAGE, str(context), seconds=SECONDS)
    try:
        with network() as lan:
            for where in ("bridge", lan.host().network):
                limits = ("--memory", "64m", "--read-only", "--cap-drop", "all")
                words = ("--rm", "--pull", "never", "--network", where, *limits, IMAGE)
                engine("run", *words, "/catatonit", "--version", seconds=SECONDS)
    finally:
        engine("rmi", "--force", IMAGE, seconds=SECONDS)


if __name__ == "__main__":
    sys.exit(obstacle())
