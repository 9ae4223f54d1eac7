from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.worlds.batch import PATIENCE, ROOT

PROGRAM = """
from infra.failpoints import failpoint
failpoint("put", "a.jpg")
print("after a", flush=True)
failpoint("put", "b.jpg")
print("after b", flush=True)
failpoint("put-more")
print("the end", flush=True)
"""


def _run(fault: str | None) -> tuple[int, list[str]]:
    environment = {name: value for name, value in os.environ.items() if name != "DERAIN_FAULT"}
    if fault is not None:
        environment["DERAIN_FAULT"] = fault
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        start_new_session=True,
        check=False,
    )
    return ran.returncode, ran.stdout.splitlines()


@pytest.mark.parametrize(
    ("fault", "lines"),
    [
        (None, 3),
        ("", 3),
        ("elsewhere:self", 3),
        ("pu:self", 3),
        ("put=c.jpg:self", 3),
        ("put:self", 0),
        ("put=b.jpg:self", 1),
        ("put=b.jpg:group", 1),
        ("put-more:group", 2),
    ],
)
def test_kills_where_it_is_asked_to(fault: str | None, lines: int) -> None:
    code, said = _run(fault)
    assert len(said) == lines
    assert code == (0 if lines == 3 else -signal.SIGKILL)


def test_a_token_is_good_for_one_kill(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch()
    assert _run(f"put:self:{token}")[0] == -signal.SIGKILL
    assert not token.exists()
    assert _run(f"put:self:{token}") == (0, ["after a", "after b", "the end"])
