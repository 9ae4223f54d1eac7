"""The faulty proxy causes exactly the planned faults, and the same ones every time."""

from __future__ import annotations

import http.client
import itertools
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.servers.faulty_proxy import HARSH, Fault, FaultyProxy, Weather


class Echo(BaseHTTPRequestHandler):
    """Answers with the Host and the path that it received."""

    seen: list[str]

    def do_GET(self) -> None:
        body = f"{self.headers['Host']} {self.path}".encode()
        self.seen.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[FaultyProxy]:
    Echo.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        with FaultyProxy(f"http://127.0.0.1:{server.server_address[1]}") as running:
            yield running
        server.shutdown()
        thread.join()


def get(proxy: FaultyProxy, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(proxy.endpoint.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", path, headers={"Host": "signed.example"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_host_and_path_pass_unchanged(proxy: FaultyProxy) -> None:
    assert get(proxy, "/b//x%20y/../%2F?a=b%2Bc") == (200, b"signed.example /b//x%20y/../%2F?a=b%2Bc")


def test_each_fault_is_what_it_says(proxy: FaultyProxy) -> None:
    proxy.script("GET /x", ["500", "503", "reset", "lost", "truncated"])
    assert get(proxy, "/x")[0] == 500
    assert b"SlowDown" in get(proxy, "/x")[1]
    with pytest.raises(ConnectionError):
        get(proxy, "/x")
    assert Echo.seen == []
    with pytest.raises(ConnectionError):
        get(proxy, "/x")
    assert Echo.seen == ["/x"]
    with pytest.raises(http.client.IncompleteRead) as caught:
        get(proxy, "/x")
    assert 0 < len(caught.value.partial) < len(b"signed.example /x")
    assert get(proxy, "/x") == (200, b"signed.example /x")
    assert proxy.struck() == dict.fromkeys(HARSH, 1)


def test_a_script_may_never_end_and_hits_its_pattern_alone(proxy: FaultyProxy) -> None:
    proxy.script("GET *bad*", itertools.repeat("500"))
    assert [get(proxy, "/bad")[0] for _ in range(5)] == [500] * 5
    assert get(proxy, "/good")[0] == 200
    assert (proxy.count("GET *bad*"), proxy.count()) == (5, 6)


def test_weather_is_seeded() -> None:
    weather = Weather(share=0.1, seed=3)
    requests = [(f"GET /{number}", count) for number in range(1000) for count in (1, 2, 3)]
    strikes = [weather.strike(*request) for request in requests]
    assert strikes == [Weather(share=0.1, seed=3).strike(*request) for request in requests]
    assert strikes != [Weather(share=0.1, seed=4).strike(*request) for request in requests]
    assert 0.07 < sum(strike is not None for strike in strikes) / len(strikes) < 0.13
    assert {strike for strike in strikes if strike} == set(HARSH)
    assert Fault.SLOW not in strikes
