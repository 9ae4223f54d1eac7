"""Choice of a free port on the loopback interface."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a port that no server listens on; nothing reserves it."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])
