"""The demo's shoppers, who judge load tests too: what they ask, and what they take for a failure."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from portal.demo.client import Client
from portal.demo.traffic import THREADS, Traffic

USERS = ["u1", "a b+c/ä", "nothing-for-me"]


class Gateway(ThreadingHTTPServer):
    """Answers shoppers over kept-alive connections, and notes who came on which."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Shopkeeper)
        self.asked: list[tuple[str, str, int]] = []  # method, path, port of the connection

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Shopkeeper(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Gateway

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, self.client_address[1]))
        items = [] if "nothing-for-me" in self.path else [{"item_id": "i1"}]
        body = json.dumps({"release": 7, "items": items}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *args: object) -> None:
        """Say nothing: the test that fails says it."""


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def send(gateway: Gateway, users: list[str], requests: int) -> Traffic:
    traffic = Traffic(gateway.url, "shop/home", users, rate=2_000)
    traffic.start()
    deadline = time.monotonic() + 20
    while traffic.total < requests:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    traffic.stop()
    return traffic


def test_an_empty_list_is_a_failure(gateway: Gateway) -> None:
    traffic = send(gateway, USERS, 60)
    assert set(traffic.failures) == {"an empty list"}
    assert traffic.failures["an empty list"] == pytest.approx(traffic.total / 3, abs=2 * THREADS)
    assert traffic.answers[7] == traffic.total - traffic.failures["an empty list"]
    assert "failed ({'an empty list': " in str(traffic)


def test_every_tenth_request_opens_a_connection_and_every_second_is_a_post(gateway: Gateway) -> None:
    traffic = send(gateway, ["u1"], 400)
    assert not traffic.failures
    connections = [port for _, _, port in gateway.asked]
    assert len(set(connections)) == pytest.approx(len(connections) / 10, abs=THREADS)
    first = {port: method for method, _, port in reversed(gateway.asked)}
    assert list(first.values()).count("POST") == pytest.approx(len(first) / 2, abs=THREADS)
    methods = [method for method, _, _ in gateway.asked]
    assert methods.count("POST") == pytest.approx(len(methods) / 2, abs=THREADS)
    assert 0 < traffic.latency_ms(50) <= traffic.latency_ms(99)


def test_a_gateway_that_is_away_is_a_failure_and_has_no_latency(gateway: Gateway) -> None:
    gateway.shutdown()
    gateway.server_close()
    traffic = send(gateway, ["u1"], 8)
    assert set(traffic.failures) == {"ConnectionRefusedError"}
    assert traffic.latency_ms(99) == 0.0


def test_all_our_callers_spell_a_user_alike(gateway: Gateway) -> None:
    """Else she would have two arms: see `test_the_arm_follows_the_spelling_of_a_user`."""
    client = Client(gateway.url)
    client.recommend("shop/home", USERS[1], 10)
    client.close()
    send(gateway, [USERS[1]], 2)
    assert {path for _, path, _ in gateway.asked} == {
        "/shop/home/recommendations?user=a%20b%2Bc%2F%C3%A4&k=10"
    }
