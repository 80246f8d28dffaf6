"""A small real artifact, and a real model server of it on a free port of loopback."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import scipy.sparse as sp

from engine.artifacts import save_artifact
from engine.estimators import ALGORITHMS
from engine.interactions import IdTable
from engine.items import ItemFacts

ROOT = Path(__file__).parents[2]
KEY = b"0123456789abcdef0123456789abcdef"
N_USERS, N_ITEMS = 60, 40
FILLED, EMPTY = "has everything", "has nothing"
USERS = [f"u{n}" for n in range(N_USERS - 2)] + [FILLED, EMPTY]
ODD_IDS = ["i/slash", "i,comma", "ïtem é", "i%2F", "i?&="]
ITEMS = [f"i{n}" for n in range(N_ITEMS - len(ODD_IDS))] + ODD_IDS
CATEGORIES = ["shoes", "hats", None]


def history() -> sp.csr_matrix:
    """Two tastes: even users choose among even items, odd ones among odd items, eight each."""
    rng = np.random.default_rng(4)
    dense = np.zeros((N_USERS, N_ITEMS), np.float32)
    for user in range(N_USERS - 2):
        own = np.arange(user % 2, N_ITEMS, 2)
        dense[user, rng.choice(own, 8, replace=False)] = 1
    dense[USERS.index(FILLED)] = 1
    return sp.csr_matrix(dense)


def item_facts() -> ItemFacts:
    prices = np.arange(N_ITEMS, dtype=np.float64)
    prices[3] = np.nan
    titles = [f"Title of {name}" for name in ITEMS]
    titles[4] = ""
    return ItemFacts.of(titles, [CATEGORIES[at % 3] for at in range(N_ITEMS)], prices)


@dataclass(frozen=True)
class SmallArtifact:
    """An artifact on disk, and the estimator that was saved to it."""

    folder: Path
    digest: str
    algorithm: str
    estimator: Any = field(repr=False)


def ratings() -> sp.csr_matrix:
    """The same choices with one to five stars: the first five items of each taste are liked most."""
    rated = history()
    rng = np.random.default_rng(5)
    liked = rated.indices < 10
    rated.data[:] = np.where(liked, rng.integers(4, 6, rated.nnz), rng.integers(1, 4, rated.nnz))
    return rated


def make_artifact(
    folder: Path,
    algorithm: str = "als",
    *,
    facts: bool = True,
    settings: Mapping[str, Any] | None = None,
    seen: sp.csr_matrix | None = None,
) -> SmallArtifact:
    """Fit and save a small model; seen: what it learns from, `history()` if not given."""
    kind = ALGORITHMS[algorithm]
    config = kind.Config(**(settings or ({"factors": 8} if algorithm == "als" else {})))
    seen = history() if seen is None else seen
    estimator = kind(config, threads=1).fit(seen)
    digest = save_artifact(
        folder,
        estimator,
        user_ids=IdTable.of(USERS),
        item_ids=IdTable.of(ITEMS),
        seen=seen,
        facts=item_facts() if facts else None,
    )
    return SmallArtifact(folder, digest, algorithm, estimator)


@dataclass(frozen=True)
class Reply:
    """What came back; `json` reads it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body, parse_constant=lambda name: 1 / 0)

    @property
    def items(self) -> list[str]:
        return [item["item_id"] for item in self.json["items"]]


@dataclass
class RunningServer:
    """A model server's process."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def ask(
        self,
        target: str,
        body: object = None,
        *,
        method: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 10,
    ) -> Reply:
        """Send one request; a body that is not bytes goes as JSON."""
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(
                method or ("GET" if body is None else "POST"), target, raw, dict(headers or {})
            )
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, names, answer.read())
        finally:
            connection.close()

    def recommend(self, user: str, query: str = "", body: object = None, **more: Any) -> Reply:
        """Ask for a user's list as the gateway passes it on."""
        return self.ask(f"/shop/home/recommendations?user={quote(user, safe='')}{query}", body, **more)

    def metric(self, name: str, **labels: str) -> float:
        """Add up the samples of a metric that have these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = self.ask("/metrics").body.decode().splitlines()
        found = [line for line in lines if line.split("{")[0].split(" ")[0] == name]
        return sum(float(line.rsplit(" ", 1)[1]) for line in found if all(each in line for each in wanted))

    def is_ready(self) -> bool:
        try:
            return self.ask("/v2/health/ready", timeout_s=1).status == 200  # at its port may be a mute thief
        except OSError:
            return False

    def wait_until_ready(self, timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, "not ready in time: " + self.log.read_text()
            time.sleep(0.02)

    def wait_for_end(self, timeout_s: float = 60) -> int:
        return self.process.wait(timeout_s)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait_for_end(20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server_config(folder: Path, served: SmallArtifact, **changes: Any) -> Path:
    """Write a server's configuration and key, as a backend does."""
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "signing.key"
    key.write_bytes(KEY)
    key.chmod(0o600)
    settings: dict[str, Any] = {
        "artifact": str(served.folder),
        "digest": served.digest,
        "host": "127.0.0.1",
        "port": free_port(),
        "release_id": "rel_1",
        "release_number": 4,
        "deployment_id": "dep_1",
        "shop": "shop",
        "model": "shop-main",
        "model_version": 17,
        "algorithm": served.algorithm,
        "signing_key_file": str(key),
        "threads": 1,
        "drain_s": 0.3,
    }
    if "NUMBA_CACHE_DIR" in os.environ:
        settings["numba_cache_dir"] = str(Path(os.environ["NUMBA_CACHE_DIR"]).resolve())
    settings |= changes
    path = folder / "config.json"
    path.write_text(json.dumps({name: value for name, value in settings.items() if value is not None}))
    path.chmod(0o600)
    return path


@contextmanager
def running(config: Path) -> Iterator[RunningServer]:
    """Run a model server, ready or not, with an empty environment; end it afterwards."""
    settings = json.loads(config.read_text())
    log = config.with_name("server.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "engine.serving", "--config", str(config)],
            cwd=ROOT,
            env={},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    server = RunningServer(process, settings.get("port", 0), log)
    try:
        yield server
    finally:
        try:
            server.stop()
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
