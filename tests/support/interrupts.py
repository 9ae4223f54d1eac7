"""Two interrupts of the main thread, the second after the first was handled (`InterruptedTwice`)."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

PAUSE = 0.1
"""Seconds between two signals; signals of one number that arrive together count as one."""
UNWINDING = 0.5
"""Seconds that the main thread gets to leave what the first interrupt found it at."""


class InterruptedTwice:
    """A handler of SIGTERM that raises `SystemExit` twice, and the sender of as many signals as that takes."""

    def __init__(self) -> None:
        self.handled = 0

    def send(self) -> None:
        """Send signals to this process until two have been handled; not for the main thread, which handles them."""
        for number in (1, 2):
            while self.handled < number:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(PAUSE)
            time.sleep(UNWINDING)

    @contextmanager
    def sent_after(self, event: threading.Event) -> Iterator[None]:
        """Install the handler, and send the signals from another thread once the event is set."""
        before = signal.signal(signal.SIGTERM, self._handle)
        sender = threading.Thread(target=lambda: event.wait(60) and self.send())
        sender.start()
        try:
            yield
        finally:
            sender.join()
            signal.signal(signal.SIGTERM, before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.handled += 1
        if self.handled <= 2:
            sys.exit(128 + number)
