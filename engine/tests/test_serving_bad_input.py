"""Whatever cannot be answered is refused by name, never with a 5xx, and the server goes on."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from engine.tests.serving_process import ITEMS, RunningServer, make_artifact, running, server_config

MIB = 1024 * 1024
PATIENCE_S = 1.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    artifact = make_artifact(tmp_path_factory.mktemp("als") / "artifact")
    with running(server_config(artifact.folder.parent, artifact, patience_s=PATIENCE_S)) as started:
        started.wait_until_ready()
        yield started


def refused(reply: Any, status: int, code: str) -> dict[str, Any]:
    """Check that a reply is a problem as RFC 9457 has it, and return it."""
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = reply.json
    assert found["status"] == status
    assert found["code"] == code, found
    assert {"type", "title", "detail", "instance", "request_id"} <= set(found)
    assert "/home/" not in found["detail"]
    assert "Traceback" not in reply.body.decode()
    return found


@pytest.mark.parametrize("k", ["0", "-1", "1.5", "ten", "1000000000", "101", "", "1e1", "+5", "%31%30", "٣"])
def test_a_wrong_k_is_refused_with_the_range(server: RunningServer, k: str) -> None:
    encoded = k if k.isascii() else "%D9%A3"
    found = refused(server.recommend("u1", f"&k={encoded}"), 422, "k_out_of_range")
    assert "1 to 100" in found["detail"]
    assert found["errors"][0]["pointer"] == "k"


def test_k_given_twice_is_refused(server: RunningServer) -> None:
    refused(server.recommend("u1", "&k=5&k=6"), 422, "k_out_of_range")


@pytest.mark.parametrize("query", ["", "?user=", "?k=5", "?User=u1", "?user"])
def test_a_request_without_a_user_is_refused(server: RunningServer, query: str) -> None:
    refused(server.ask(f"/shop/home/recommendations{query}"), 400, "user_missing")
    refused(server.ask(f"/shop/home/recommendations{query}", {}), 400, "user_missing")


POSTS = {
    "recommendations?user=u1": {"exclude": ["i1"]},
    "recommendations/batch?k=2": {"users": ["u1"]},
    "session?session=s1": {"items": ["i1"]},
    "v2/models/shop-main/infer": {
        "inputs": [{"name": "user_id", "shape": [1], "datatype": "BYTES", "data": ["u1"]}]
    },
}


@pytest.mark.parametrize("target", POSTS)
def test_a_body_of_another_type_is_refused(server: RunningServer, target: str) -> None:
    def send(kind: str) -> Any:
        return server.ask(f"/shop/home/{target}", POSTS[target], headers={"Content-Type": kind})

    for kind in (
        "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json", "é",
        "application/json; charset=latin-1", "application/cloudevents+json", "application/json, text/plain",
    ):  # fmt: skip
        reply = send(kind)
        assert (reply.status, reply.headers["accept"]) == (415, "application/json"), kind
        told = reply.json.get("detail") or reply.json["error"]
        assert "application/json in UTF-8" in told
    for kind in ("application/json", "application/json;charset=utf-8", 'Application/JSON ; charset="UTF-8"'):
        assert send(kind).status == 200
    assert server.ask(f"/shop/home/{target}", POSTS[target]).status == 200  # it says nothing: JSON


def test_two_users_are_refused(server: RunningServer) -> None:
    refused(server.recommend("u1", "&user=u2"), 400, "given_twice")


@pytest.mark.parametrize(
    ("user", "code"),
    [
        ("x" * 257, "id_too_long"),
        ("é" * 129, "id_too_long"),
        ("x" * 10_000, "id_too_long"),
        ("a\0b", "control_character"),
        ("a\nb", "control_character"),
        ("a\x85b", "control_character"),
        ("  ", "empty_id"),
    ],
)
def test_an_impossible_user_is_refused(server: RunningServer, user: str, code: str) -> None:
    refused(server.recommend(user), 422, code)


def test_a_user_that_is_not_utf8_is_refused(server: RunningServer) -> None:
    refused(server.ask("/shop/home/recommendations?user=%FF%FE"), 422, "not_utf8")


@pytest.mark.parametrize("user", ["../../etc/passwd", "x" * 256, "<script>", "1", "' or 1=1", "%2e%2e", "💥"])
def test_a_strange_but_possible_user_is_only_unknown(server: RunningServer, user: str) -> None:
    answer = server.recommend(user)
    assert answer.status == 200
    assert answer.json["fallback_reason"] == "unknown_user"


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"[1,", b'{"explain": NaN}', b'{"explain": truth}', b'{"exclude": ["\xff"]}', b"\xef\xbb\xbf{}",
        b'{"exclude": ["\\ud800"]}', b'{"explain": true, "explain": false}', b"{}{}", b"'", b"\0",
        b'{"filters": {"price_max": ' + b"9" * 5000 + b"}}", b'{"filters": {"price_max": Infinity}}',
        b"[" * 100_000, b'{"exclude":' * 50 + b"1" + b"}" * 50, b"[" * 500 + b"]" * 500,
    ],
)  # fmt: skip
def test_malformed_json_is_refused(server: RunningServer, body: bytes) -> None:
    refused(server.recommend("u1", body=body), 400, "malformed_json")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"omit": []}, "/omit"),
        ({"items": ["i1"]}, "/items"),
        ({"context": {"cart": [], "basket": []}}, "/context/basket"),
        ({"filters": {"price_min": 1}}, "/filters/price_min"),
    ],
)
def test_an_unknown_field_is_refused_by_name(server: RunningServer, body: Any, pointer: str) -> None:
    found = refused(server.recommend("u1", body=body), 400, "unknown_field")
    assert found["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    "body",
    [
        [], "text", 5, None, {"exclude": "i1"}, {"exclude": [1]}, {"exclude": {"a": 1}}, {"context": []},
        {"context": {"item_id": 7}}, {"context": {"cart": "i1"}}, {"context": {"device": 1}},
        {"explain": "yes"}, {"explain": 1}, {"filters": []}, {"filters": {"category": "shoes"}},
        {"filters": {"category": []}}, {"filters": {"category": [1]}}, {"filters": {"price_max": "80"}},
        {"filters": {"price_max": -1}}, {"filters": {"price_max": True}},
    ],
)  # fmt: skip
def test_a_field_of_the_wrong_type_is_refused(server: RunningServer, body: Any) -> None:
    refused(server.recommend("u1", body=json.dumps(body).encode()), 400, "wrong_type")


@pytest.mark.parametrize(
    ("query", "body", "status", "code"),
    [
        ("", {}, 400, "users_missing"),
        ("", {"users": []}, 400, "users_missing"),
        ("", {"users": "u1"}, 400, "users_missing"),
        ("", [], 400, "wrong_type"),
        ("", b"", 400, "malformed_json"),
        ("", {"users": ["u1", 2]}, 400, "wrong_type"),
        ("", {"users": ["u1", "u1 "]}, 400, "given_twice"),
        ("", {"users": ["u1"], "context": {}}, 400, "unknown_field"),
        ("?k=0", {"users": ["u1"]}, 422, "k_out_of_range"),
        ("?explain=1", {"users": ["u1"]}, 422, "not_in_a_batch"),
        ("", {"users": ["a\0"]}, 422, "control_character"),
        ("?k=1", {"users": [f"u{n}" for n in range(1_001)]}, 413, "too_many"),
        ("?k=100", {"users": [f"u{n}" for n in range(201)]}, 413, "too_many"),
        ("", {"users": ["u"] * 200_000}, 413, "too_many"),
    ],
)
def test_a_batch_that_cannot_be_answered_is_refused_by_name(
    server: RunningServer, query: str, body: Any, status: int, code: str
) -> None:
    refused(server.ask(f"/s/d/recommendations/batch{query}", body, method="POST"), status, code)
    assert server.ask("/s/d/recommendations/batch").headers["allow"] == "POST"


def test_too_long_lists_are_refused(server: RunningServer) -> None:
    names = [f"x{n}" for n in range(10_001)]
    refused(server.recommend("u1", body={"exclude": names}), 413, "too_many")
    assert server.recommend("u1", body={"exclude": names[:-1]}).status == 200
    refused(server.recommend("u1", "&exclude=i1", {"exclude": names[:-1]}), 413, "too_many")
    refused(server.recommend("u1", "&exclude=" + ",".join(["x"] * 10_001)), 413, "too_many")
    refused(server.recommend("u1", body={"context": {"cart": names[:1001]}}), 413, "too_many")
    refused(server.ask("/s/d/session?session=a", {"items": names[:1001]}), 413, "too_many")


def test_a_million_excluded_ids_are_refused_quickly(server: RunningServer) -> None:
    body = json.dumps({"exclude": ["i"] * 1_000_000}).encode()
    started = time.monotonic()
    refused(server.recommend("u1", body=body), 413, "body_too_large")
    assert time.monotonic() - started < 5


def test_a_body_above_one_mebibyte_is_refused_declared_or_not(server: RunningServer) -> None:
    refused(server.recommend("u1", body=b" " * (MIB + 1)), 413, "body_too_large")
    assert server.recommend("u1", body=b"{}" + b" " * (MIB - 2)).status == 200
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        raw.sendall(
            b"POST /s/d/recommendations?user=u1 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        chunk = b"%x\r\n%b\r\n" % (64 * 1024, b" " * 64 * 1024)
        for _ in range(40):
            raw.sendall(chunk)
        raw.sendall(b"0\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/shop/home/session", {"items": ["i1"]}),
        ("/shop/home/session?session=", {"items": ["i1"]}),
        ("/shop/home/session?session=s1", {}),
        ("/shop/home/session?session=s1", {"items": []}),
        ("/shop/home/session?session=s1", b""),
    ],
)
def test_a_session_without_name_or_items_is_refused(server: RunningServer, target: str, body: Any) -> None:
    reply = server.ask(target, body, method="POST")
    refused(reply, 400, "session_missing" if "s1" not in target else "items_missing")


@pytest.mark.parametrize(
    "target",
    [
        "/", "/nothing", "/shop", "/shop/home", "/shop/home/", "/shop/home/nothing", "/shop/home/metrics",
        "/shop/home/recommendations/", "/a/b/c/recommendations", "/shop/home/items/similar",
        "/shop/home/items//similar", "/recommendations?user=u1", "/shop/home/%72ecommendations/x",
    ],
)  # fmt: skip
def test_other_addresses_are_not_found(server: RunningServer, target: str) -> None:
    refused(server.ask(target), 404, "not_found")


def test_an_encoded_slash_does_not_make_another_address(server: RunningServer) -> None:
    refused(server.ask("/shop/home%2Frecommendations?user=u1"), 404, "not_found")
    assert server.ask("/shop/home/items/x%2Fsimilar/similar").json["fallback_reason"] == "unknown_item"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused_and_the_right_ones_named(server: RunningServer, method: str) -> None:
    reply = server.ask("/shop/home/recommendations?user=u1", method=method)
    refused(reply, 405, "method_not_allowed")
    assert reply.headers["allow"] == "GET, POST, HEAD"
    refused(server.ask("/shop/home/trending", {}), 405, "method_not_allowed")
    assert server.ask("/shop/home/session?session=a").headers["allow"] == "POST"


def test_head_is_get_without_a_body(server: RunningServer) -> None:
    reply = server.ask("/shop/home/recommendations?user=u1", method="HEAD")
    assert (reply.status, reply.body) == (200, b"")


def test_explaining_long_lists_is_refused(server: RunningServer) -> None:
    refused(server.recommend("u1", "&k=21&explain=1"), 422, "k_out_of_range")


def test_what_is_no_http_is_refused_as_a_problem(server: RunningServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as raw:
        raw.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        answer = raw.recv(4096)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in answer


def test_endless_headers_are_cut_off(server: RunningServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as raw:
        raw.sendall(b"GET /v2 HTTP/1.1\r\nhost: x\r\n")
        received = b""
        try:
            for n in range(200):
                raw.sendall(b"x-%d: %b\r\n" % (n, b"y" * 1000))
            received = raw.recv(4096)
        except OSError:
            return  # reset while we were sending: cut off too
    assert received.startswith(b"HTTP/1.1 431")


def test_a_client_that_never_finishes_its_headers_is_closed_and_others_are_served(
    server: RunningServer,
) -> None:
    idle = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(200)]
    try:
        for raw in idle[:100]:
            raw.sendall(b"GET /s/d/recommendations?user=u1 HTTP/1.1\r\nhost")
        started = time.monotonic()
        assert server.recommend("u1").status == 200
        assert time.monotonic() - started < 2
        for raw in (idle[0], idle[99], idle[150]):
            assert raw.recv(100) == b""
        assert 0.5 * PATIENCE_S < time.monotonic() - started < PATIENCE_S + 10
    finally:
        for raw in idle:
            raw.close()


def test_a_body_that_never_arrives_is_refused_in_time(server: RunningServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        raw.sendall(b"POST /s/d/recommendations?user=u1 HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        started = time.monotonic()
        assert raw.recv(100).startswith(b"HTTP/1.1 408")
        assert 0.5 * PATIENCE_S < time.monotonic() - started < PATIENCE_S + 10


def test_after_all_that_the_server_answers_and_has_failed_on_nothing(server: RunningServer) -> None:
    assert server.recommend("u1").status == 200
    assert server.metric("aisle_refused_total", status="500") == 0
    assert server.metric("aisle_refused_total") > 20
    assert "Traceback" not in server.log.read_text()
    assert set(server.recommend("u1", "&k=100").items) < set(ITEMS)
