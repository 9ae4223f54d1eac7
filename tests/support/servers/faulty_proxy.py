"""An HTTP proxy in front of an S3 endpoint that makes requests fail reproducibly.

Signatures stay valid: clients sign the proxy's address as Host, and the proxy forwards it unchanged, which servers
accept for path-style requests.
"""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class Fault(StrEnum):
    """Fault that can happen to a request."""

    ERROR = "500"
    SLOW_DOWN = "503"
    RESET = "reset"
    """The connection is reset before the request reaches the server."""
    LOST = "lost"
    """The server processes the request, but the response is lost."""
    TRUNCATED = "truncated"
    """Only half of the announced body arrives."""
    SLOW = "slow"


HARSH = (Fault.ERROR, Fault.SLOW_DOWN, Fault.RESET, Fault.LOST, Fault.TRUNCATED)
ERROR_BODIES = {
    Fault.ERROR: "<Error><Code>InternalError</Code><Message>planned</Message></Error>",
    Fault.SLOW_DOWN: "<Error><Code>SlowDown</Code><Message>planned</Message></Error>",
}


@dataclass(frozen=True, slots=True)
class Weather:
    """Random faults and their frequency, determined by seed, request and its count."""

    share: float = 0.0
    seed: int = 0
    faults: tuple[Fault, ...] = HARSH

    def strike(self, request: str, count: int) -> Fault | None:
        """Return the fault of the `count`-th request with this method and path, if any."""
        draw = random.Random(f"{self.seed} {count} {request}")
        return draw.choice(self.faults) if draw.random() < self.share else None


@dataclass(frozen=True, slots=True)
class Call:
    """A received request, such as `GET /bucket/key?query`, and its fault."""

    request: str
    fault: Fault | None


@dataclass(slots=True)
class Answer:
    """The response of the server."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(slots=True)
class Script:
    """Successive faults of the requests that match a pattern; none once the script is used up."""

    pattern: str
    faults: Iterator[Fault | None] = field(repr=False)


class FaultyProxy:
    """A proxy that runs in its own threads for the duration of its `with` block.

    Parameters
    ----------
    upstream : str
        `http://host:port` of the real server.
    weather : Weather
        Random faults. Default: none.
    slow_seconds : float
        Seconds by which `Fault.SLOW` delays a response.
    """

    def __init__(self, upstream: str, weather: Weather | None = None, slow_seconds: float = 1.0) -> None:
        self.weather = weather or Weather()
        self.slow_seconds = slow_seconds
        self.calls: list[Call] = []
        self._address = upstream.removeprefix("http://")
        self._counts: Counter[str] = Counter()
        self._scripts: list[Script] = []
        self._lock = threading.Lock()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="proxy")
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def script(self, pattern: str, faults: Iterable[Fault | str | None]) -> None:
        """Script the faults of call 1, 2, 3… of the requests that match a pattern such as `GET /bucket/*`.

        `itertools.repeat("500")` fails every time. Scripts take precedence over the weather, and the first matching
        script applies.
        """
        planned = (Fault(fault) if fault else None for fault in faults)
        self._scripts.append(Script(pattern, planned))

    def count(self, pattern: str = "*") -> int:
        """Return the number of received requests that match."""
        return sum(fnmatchcase(call.request, pattern) for call in list(self.calls))

    def struck(self) -> Counter[Fault]:
        """Return the number of occurrences of each fault."""
        return Counter(call.fault for call in list(self.calls) if call.fault)

    def decide(self, request: str) -> Fault | None:
        """Record a request and return its fault, if any."""
        with self._lock:
            self._counts[request] += 1
            fault = self._planned(request)
            self.calls.append(Call(request, fault))
        return fault

    def _planned(self, request: str) -> Fault | None:
        for script in self._scripts:
            if fnmatchcase(request, script.pattern):
                return next(script.faults, None)
        return self.weather.strike(request, self._counts[request])

    def forward(self, request: BaseHTTPRequestHandler, body: bytes) -> Answer:
        """Forward a request unchanged and return the whole response."""
        upstream = http.client.HTTPConnection(self._address, timeout=30)
        try:
            upstream.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                if name.lower() not in ("expect", "connection"):
                    upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())
        finally:
            upstream.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # clients keep connections open, and their threads end with the process
    request_queue_size = 128

    def __init__(self, proxy: FaultyProxy) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: clients that disconnect are expected."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        proxy = self.server.proxy
        fault = proxy.decide(f"{self.command} {self.path}")
        if fault in ERROR_BODIES:
            return self._answer(Answer(int(fault), [("Content-Type", "application/xml")], _error(fault)))
        if fault is Fault.RESET:
            return self._reset()
        if fault is Fault.SLOW:
            time.sleep(proxy.slow_seconds)
        answer = proxy.forward(self, body)
        if fault is Fault.LOST or (fault is Fault.TRUNCATED and not answer.body):
            return self._reset()
        return self._answer(answer, cut=fault is Fault.TRUNCATED)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = serve  # noqa: N815

    def _answer(self, answer: Answer, *, cut: bool = False) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", self._length(answer))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(answer.body[: len(answer.body) // 2] if cut else answer.body)
        self.close_connection = self.close_connection or cut

    def _length(self, answer: Answer) -> str:
        announced = {name.lower(): value for name, value in answer.headers}.get("content-length", "0")
        return announced if self.command == "HEAD" else str(len(answer.body))

    def _reset(self) -> None:
        # Lingering for zero seconds sends RST instead of closing the connection properly.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: `calls` records every request."""


def _error(fault: Fault) -> bytes:
    return ERROR_BODIES[fault].encode()
