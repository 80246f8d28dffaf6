"""The limit on request bodies, through a real server on loopback."""

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator

import pytest

from portal.body_limit import BodyLimit, size_in_words
from portal.stack.home import CODE_DIR
from portal.stack.ports import choose_port, is_free

UPLOAD = "/api/v1/dataset-versions/dsv_01/file"
PAGE_UPLOAD = "/acme/data/new"
OTHER = "/api/v1/promotions"
UPLOAD_LIMIT, OTHER_LIMIT = 3_000_000, 1_000

# Counts what reaches the application, as Django would: reads the whole body, then answers.
COUNTING_APPLICATION = f"""
import django

django.setup()
from portal.body_limit import BodyLimit

async def count(scope, receive, send):
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message["body"]), message.get("more_body", False)
    body = str(size).encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    await send({{"type": "http.response.body", "body": body}})

application = BodyLimit(
    count, upload_max_bytes={UPLOAD_LIMIT}, events_max_bytes={OTHER_LIMIT}, other_max_bytes={OTHER_LIMIT}
)
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("application")
    (folder / "counting.py").write_text(textwrap.dedent(COUNTING_APPLICATION))
    port = choose_port()
    options = ["--app-dir", str(folder), "--port", str(port), "--lifespan", "off", "--log-level", "warning"]
    environment = {
        "PYTHONPATH": str(CODE_DIR),
        "SECRET_KEY": "x",
        "DATABASE_URL": "postgresql://x@127.0.0.1/x",
    }
    environment |= {"DJANGO_SETTINGS_MODULE": "portal.settings", "AISLE_HOME": str(folder)}
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "counting:application", *options], env=environment
    )
    deadline = time.monotonic() + 20
    while is_free(port):
        assert server.poll() is None, "uvicorn ended"
        assert time.monotonic() < deadline, "uvicorn does not listen"
        time.sleep(0.05)
    yield port
    server.terminate()
    server.wait(timeout=10)


@contextlib.contextmanager
def connect(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        yield connection
    finally:
        connection.close()


def post(port: int, path: str, body: bytes, *, chunked: bool = False) -> http.client.HTTPResponse:
    with connect(port) as connection:
        if chunked:
            pieces = (body[at : at + 512] for at in range(0, len(body), 512))
            connection.request("POST", path, body=pieces, encode_chunked=True)
        else:
            connection.request("POST", path, body=body)
        response = connection.getresponse()
        response.text = response.read().decode()  # type: ignore[attr-defined]
        return response


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("path", "limit"), [(UPLOAD, UPLOAD_LIMIT), (PAGE_UPLOAD, UPLOAD_LIMIT), (OTHER, OTHER_LIMIT)]
)
def test_a_body_of_exactly_the_limit_passes_and_one_byte_more_does_not(port, path, limit, chunked):
    passed = post(port, path, b"x" * limit, chunked=chunked)
    assert (passed.status, passed.text) == (200, str(limit))

    refused = post(port, path, b"x" * (limit + 1), chunked=chunked)
    assert refused.status == 413
    assert refused.headers["content-type"] == "application/problem+json"
    problem = json.loads(refused.text)
    assert problem["status"] == 413
    assert problem["code"] == "too_large"
    assert problem["instance"] == path
    assert problem["request_id"] == refused.headers["x-request-id"]


def test_a_declared_length_is_refused_before_the_body_is_sent(port):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sender:
        sender.sendall(
            b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n" % UPLOAD.encode()
        )
        answer = sender.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413")


def test_an_endless_chunked_body_is_cut_and_its_connection_closed(port):
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sender:
        sender.sendall(b"POST %s HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" % OTHER.encode())
        deadline = time.monotonic() + 10
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while time.monotonic() < deadline:
                sender.sendall(chunk)
                time.sleep(0.01)
    assert time.monotonic() < deadline, "the server took it all"
    assert is_listening(port), "the server goes on"


def test_the_callers_request_id_comes_back_and_a_strange_one_does_not(port):
    with connect(port) as connection:
        for given, kept in (("trace-7.a", True), ("two words", False)):
            connection.request("POST", OTHER, body=b"x" * 2_000, headers={"X-Request-Id": given})
            response = connection.getresponse()
            response.read()
            assert (response.headers["x-request-id"] == given) is kept
            connection.close()


@pytest.mark.parametrize(
    ("path", "is_upload"),
    [
        ("/api/v1/dataset-versions/dsv_01/file", True),
        ("/acme/data", True),
        ("/acme/data/dsv_01/items", True),
        ("/api/v1/dataset-versions/dsv_01/check", False),
        ("/api/data", False),
        ("/acme/models", False),
        ("/acme/database", False),
        ("/api/v1/runs/run_01/file", False),
    ],
)
def test_only_the_places_where_files_arrive_have_the_large_limit(path, is_upload):
    async def never(scope, receive, send):
        raise AssertionError

    limit = BodyLimit(never, upload_max_bytes=3, events_max_bytes=2, other_max_bytes=1)
    assert limit.limit_for(path) == (3 if is_upload else 1)
    assert limit.limit_for("/api/v1/events") == 2
    assert limit.limit_for("/api/v1/events/") == limit.limit_for("/acme/api/v1/events") == 1


@pytest.mark.parametrize(
    ("size", "words"), [(1024**2, "1 MiB"), (4 * 1024**3, "4 GiB"), (1536, "1.5 KiB"), (1000, "1000 bytes")]
)
def test_a_limit_is_said_in_the_largest_unit(size, words):
    assert size_in_words(size) == words


def is_listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False
