"""Clients that are slow, large or ambiguous meet the gateway, not a model server."""

import socket
from collections.abc import Iterator

import pytest

from deployments_app.tests.gateway_rig import Gateway, Upstream, deployment, running_upstreams


@pytest.fixture(scope="module")
def upstreams() -> Iterator[dict[str, Upstream]]:
    with running_upstreams("r1") as running:
        yield running


@pytest.fixture(scope="module")
def gateway(upstreams: dict[str, Upstream], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("hygiene"))
    gateway.start()
    gateway.publish(deployment(upstreams, {"r1": 100}))
    yield gateway
    gateway.stop()


def raw(gateway: Gateway, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", gateway.ports.port), timeout=3) as connection:
        connection.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            received = connection.recv(65536)
            if not received:
                break
            answer += received
    return answer.split(b"\r\n")[0]


def test_a_request_that_two_parsers_could_read_differently_is_refused(gateway: Gateway) -> None:
    start = b"POST /shop/home/recommendations?user=u1 HTTP/1.1\r\nHost: gateway\r\n"
    for headers in (
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"X_Aisle_Arm: r9\r\nContent-Length: 0\r\n\r\n",
        b"X-Bad: a\0b\r\nContent-Length: 0\r\n\r\n",
    ):
        assert raw(gateway, start + headers).split(b" ")[1] in (b"400", b"501"), headers


def test_headers_and_addresses_that_are_too_large_are_refused(gateway: Gateway) -> None:
    assert gateway.ask_for("u1", headers={"X-Large": "x" * 40_000}).status == 431
    assert gateway.ask_for("u" * 40_000).status == 431
    many = {f"X-Header-{number}": "x" for number in range(200)}
    assert gateway.ask_for("u1", headers=many).status == 431


def test_a_long_user_reaches_the_model_server_which_decides(gateway: Gateway) -> None:
    assert gateway.ask_for("u" * 10_000).status == 200


def test_idle_connections_cost_other_shoppers_nothing(gateway: Gateway) -> None:
    idle = [socket.create_connection(("127.0.0.1", gateway.ports.port)) for _ in range(400)]
    try:
        idle[0].sendall(b"POST /shop/home/recommendations?user=u1 HTTP/1.1\r\nHost: gateway\r\nContent-Le")
        answers = [gateway.ask_for(f"u{number}") for number in range(100)]
        assert {answer.status for answer in answers} == {200}
        assert sorted(answer.took_ms for answer in answers)[50] < 50
    finally:
        for connection in idle:
            connection.close()


def test_the_gateway_answers_for_its_own_health(gateway: Gateway) -> None:
    answer = gateway.ask("/healthz")
    assert (answer.status, answer.json) == (200, {"status": "ok"})
    assert answer.headers["server"] == "aisle"


def test_an_id_given_by_the_client_comes_back_with_the_answer(gateway: Gateway) -> None:
    answer = gateway.ask_for("u1", headers={"X-Request-Id": "mine-1", "traceparent": "00-a-b-01"})
    assert answer.headers["x-request-id"] == answer.json["headers"]["x-request-id"] == "mine-1"
    assert answer.json["headers"]["traceparent"] == "00-a-b-01"
