"""An S3 server that deviates from Amazon's: a simulated server behind a layer that may answer first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from tests.support.servers.ceph import Gateway

Environ = dict[str, Any]
Start = Callable[[str, list[tuple[str, str]]], Any]
Oddity = Callable[[Environ], "tuple[str, str] | None"]
"""Function that may change a request, and returns the status and code of a refusal, or None."""


def ignores_conditions(request: Environ) -> None:
    """Drop the condition of a write that must not replace an object."""
    request.pop("HTTP_IF_NONE_MATCH", None)


def refusing_conditions(status: str, code: str) -> Oddity:
    """Refuse conditional writes."""
    return lambda request: (status, code) if "HTTP_IF_NONE_MATCH" in request else None


def refusing_reads(status: str, code: str) -> Oddity:
    """Refuse to return objects, but list them."""

    def oddity(request: Environ) -> tuple[str, str] | None:
        is_object = request["PATH_INFO"].count("/") > 1 and "list-type" not in request["QUERY_STRING"]
        return (status, code) if request["REQUEST_METHOD"] == "GET" and is_object else None

    return oddity


def refusing_all(status: str, code: str) -> Oddity:
    """Refuse every signed request."""
    return lambda request: (status, code)


def listing_by_the_first_version(request: Environ) -> None:
    """Ignore that the second version of a listing is asked for, and answer with pages of two entries."""
    query = request["QUERY_STRING"]
    if "list-type=2" in query:
        request["QUERY_STRING"] = query.replace("list-type=2", "max-keys=2")
    elif "marker=" in query:
        request["QUERY_STRING"] = f"{query}&max-keys=2"


class OddS3:
    """The server, its current oddity, and the requests that it has received."""

    def __init__(self) -> None:
        self.oddity: Oddity | None = None
        self.requests: list[str] = []
        self._inner = DomainDispatcherApplication(create_backend_app)

    def __call__(self, request: Environ, start: Start) -> Iterable[bytes]:
        self.requests.append(f"{request['REQUEST_METHOD']} {request['PATH_INFO']}")
        refusal = self.oddity(request) if self.oddity else None
        if refusal is None:
            answer: Iterable[bytes] = self._inner(request, start)
            return answer
        status, code = refusal
        request["wsgi.input"].read(int(request.get("CONTENT_LENGTH") or 0))
        message = "Whether it is encrypted or not, as the test says"
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]


@contextmanager
def odd_s3() -> Iterator[tuple[OddS3, Gateway]]:
    """Run the server in a thread, initially without an oddity."""
    odd = OddS3()
    server = make_server("127.0.0.1", 0, odd, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield odd, Gateway(f"http://127.0.0.1:{server.server_port}", "testing", "testing")
    server.shutdown()
    thread.join()
    server.server_close()
