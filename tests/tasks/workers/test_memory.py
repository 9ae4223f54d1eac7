"""Large images wait for one another, small ones do not wait."""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from infra.records import ImageRef
from tasks.codec import Picture, PictureForm
from tasks.workers.memory import BYTES_PER_PIXEL, reserved
from tasks.workers.reading import Reading

SHARE_PIXELS = 1_000
LARGE = SHARE_PIXELS + 1


@pytest.fixture(autouse=True)
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DERAIN_IMAGE_BYTES", str(SHARE_PIXELS * BYTES_PER_PIXEL))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def waiting() -> Iterator[threading.Event]:
    """Run another worker that waits for the lock of large images; yield an event that is set once it has it."""
    entered, started = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        with reserved(LARGE):
            entered.set()

    thread = threading.Thread(target=work, daemon=True)
    with reserved(LARGE):
        thread.start()
        started.wait()
        yield entered
    thread.join(timeout=60)
    assert entered.is_set()


def test_a_large_image_waits_for_another_large_one(waiting: threading.Event) -> None:
    assert not waiting.wait(timeout=0.2)


def test_a_small_image_does_not_wait(waiting: threading.Event) -> None:
    with reserved(SHARE_PIXELS):
        assert not waiting.is_set()


def test_a_worker_that_dies_holds_nothing(lock: Path) -> None:
    program = f"""
import os, signal, tempfile
tempfile.tempdir = {str(lock)!r}
from tasks.workers.memory import reserved
with reserved({LARGE}):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    died = subprocess.run([sys.executable, "-c", program], check=False)
    assert died.returncode == -9
    assert [path.name for path in lock.iterdir()] != []
    with reserved(LARGE):
        pass


def test_a_link_of_another_user_in_place_of_the_lock_is_not_followed(
    lock: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with reserved(LARGE):
        (name,) = [path.name for path in lock.iterdir()]
    (lock / name).unlink()
    (lock / name).symlink_to(lock / "elsewhere")
    with caplog.at_level(logging.WARNING), reserved(LARGE):
        assert "do not wait for one another" in caplog.text
    assert not (lock / "elsewhere").exists()


class Large:
    """A medium whose images are all large, and which records whether another worker may hold one meanwhile."""

    def fetch(self, ref: ImageRef) -> bytes:
        return b"large"

    def pixels(self, data: bytes) -> int:
        return LARGE

    def decode(self, data: bytes) -> Picture:
        return Picture(np.zeros((1, 1, 3), np.uint8), None, PictureForm("PNG", "RGB"))


def test_an_image_is_held_as_long_as_it_is_worked_on() -> None:
    reading = Reading(Large())  # type: ignore[arg-type]
    entered = threading.Event()

    def work() -> None:
        with reserved(LARGE):
            entered.set()

    for _ in reading.decoded((ImageRef("a", "1", 5),)):
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        assert not entered.wait(timeout=0.2)
    thread.join(timeout=60)
    assert entered.is_set()
