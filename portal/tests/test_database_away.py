"""While the database is away the portal says so at once, and works again as soon as it is back.

Between a real web process and PostgreSQL stands a gate, which passes bytes on, refuses or swallows them.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from django.db import connection

from portal.core.testing import make_actor, make_shop
from portal.core.tokens import create_token
from portal.stack.home import CODE_DIR
from portal.stack.ports import choose_port, is_free

pytestmark = pytest.mark.django_db(transaction=True)

AT_MOST_S = 3.9  # a connection is waited for once, 2 s; twice would be 4


class Gate:
    """A port before PostgreSQL's: `open`, `shut` (refuses) or `silent` (takes everything, says nothing)."""

    def __init__(self) -> None:
        self.port = choose_port()
        self.state = "open"
        self.listener: socket.socket | None = None
        self.pairs: list[socket.socket] = []
        self.set("open")

    def set(self, state: str) -> None:
        self.state = state
        for each in self.pairs:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self.pairs.clear()
        if state == "shut" and self.listener is not None:
            with suppress(OSError):
                self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None
        elif state != "shut" and self.listener is None:
            self.listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
            threading.Thread(target=self._accept, args=[self.listener], daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                self.pairs.append(client)
                if self.state == "open":
                    server = self._server()
                    self.pairs.append(server)
                    for one, other in ((client, server), (server, client)):
                        threading.Thread(target=self._pass, args=[one, other], daemon=True).start()

    def _server(self) -> socket.socket:
        address = connection.settings_dict
        port, host = int(address["PORT"] or 5432), str(address["HOST"] or "")
        if host.startswith("/"):
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"{host}/.s.PGSQL.{port}")
            return server
        return socket.create_connection((host or "127.0.0.1", port))

    @staticmethod
    def _pass(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        with suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.set("shut")


@pytest.fixture
def web(gate, tmp_path) -> Iterator[int]:
    """Run the portal as the stack does: uvicorn, several requests at once, a pool of connections."""
    address = connection.settings_dict
    password = f":{address['PASSWORD']}" if address["PASSWORD"] else ""
    port = choose_port(taken=[gate.port])
    environment = {
        **os.environ,
        "DATABASE_URL": f"postgresql://{address['USER']}{password}@127.0.0.1:{gate.port}/{address['NAME']}",
        "DATABASE_POOL": "1",
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "AISLE_HOME": str(tmp_path),
    }
    (tmp_path / "static").mkdir()
    options = ["--port", str(port), "--lifespan", "off", "--log-level", "critical"]
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "portal.asgi:application", *options],
        env=environment,
        cwd=CODE_DIR,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while is_free(port):
            assert server.poll() is None, "uvicorn ended"
            assert time.monotonic() < deadline, "uvicorn does not listen"
            time.sleep(0.05)
        yield port
    finally:
        server.kill()
        server.wait(timeout=10)


def get(port: int, path: str, **headers: str) -> tuple[int, dict[str, str], str, float]:
    began = time.monotonic()
    asker = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    asker.request("GET", path, headers=headers)
    answer = asker.getresponse()
    text = answer.read().decode()
    asker.close()
    return (
        answer.status,
        {name.lower(): value for name, value in answer.getheaders()},
        text,
        time.monotonic() - began,
    )


def test_a_database_that_is_away_is_503_at_once_and_all_is_well_when_it_is_back(gate, web):
    from django.test import Client

    shop = make_shop()
    admin = make_actor(shop, "admin")
    _, text = create_token(actor=admin, shop=shop, name="t", scopes=["models:read"])
    browser = Client()
    browser.force_login(admin.user, backend="django.contrib.auth.backends.ModelBackend")
    cookie = f"aisle_session={browser.cookies['aisle_session'].value}"
    calls = {
        "the probe": ("/healthz", {}),
        "a page": (f"/{shop.slug}/", {"Cookie": cookie}),
        "the start": ("/", {"Cookie": cookie}),
        "the API by token": ("/api/v1/me", {"Authorization": f"Bearer {text}"}),
        "the API by session": ("/api/v1/me", {"Cookie": cookie}),
        "the probe by a person": ("/healthz", {"Cookie": cookie}),
    }

    def all_well() -> bool:
        return all(get(web, path, **headers)[0] in (200, 302) for path, headers in calls.values())

    assert all_well()
    for state in ("shut", "silent"):
        gate.set(state)
        with ThreadPoolExecutor(len(calls)) as threads:
            answers = threads.map(lambda call: get(web, call[0], **call[1]), calls.values())
        for (name, (path, headers)), answer in zip(calls.items(), answers, strict=True):
            status, found, body, took = answer
            where = f"{name}, {state}: {status} after {took:.1f} s: {body[:200]}"
            assert status == 503, where
            assert took < AT_MOST_S, where
            assert found["retry-after"] == "5", where
            assert "Traceback" not in body, where
            assert "psycopg" not in body, where
            assert str(gate.port) not in body, where
            if path.startswith("/api/"):
                assert found["content-type"] == "application/problem+json", where
                problem = json.loads(body)
                assert (problem["status"], problem["code"]) == (503, "database_away")
                assert problem["request_id"] == found["x-request-id"]
            elif path != "/healthz" or "Cookie" in headers:
                assert "waiting for its database" in body, where
                assert "content-security-policy" in found, where
        status, _, _, took = get(web, "/static/css/tokens.css")
        assert (status, took < 1) == (200, True), "what needs no database is served"
        gate.set("open")
        began = time.monotonic()
        while not all_well():
            assert time.monotonic() - began < 10, f"not back after {state}"
            time.sleep(0.1)
