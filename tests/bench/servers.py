"""Servers of one and the same model, each as it would be run: ours, and the peers'."""

import http.client
import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pairs import ENVIRONMENT, HERE, INTERPRETERS, ROOT

from engine.artifacts import save_artifact
from engine.compression import Variant, compress
from engine.estimators.als import ALS, ALSConfig
from engine.interactions import IdTable
from engine.synthetic import make_shop

USERS, ITEMS, INTERACTIONS = 30_000, 41_000, 800_000
READY_WITHIN_S = 60.0


@dataclass(frozen=True)
class Models:
    """The same factors as our artifacts, float32 and int8, and as a file of arrays for the peers."""

    folder: Path
    digests: dict[str, str]
    peers: Path


def make_models(folder: Path) -> Models:
    """Fit 64 factors of 41,000 items and write them for every side."""
    shop = make_shop(n_users=USERS, n_items=ITEMS, n_interactions=INTERACTIONS)
    seen = shop.interactions.matrix()
    model = ALS(ALSConfig(factors=64, iterations=2), threads=2).fit(seen)
    ids = {
        "user_ids": IdTable.of([f"u{at}" for at in range(seen.shape[0])]),
        "item_ids": IdTable.of([f"i{at}" for at in range(seen.shape[1])]),
        "seen": seen,
    }
    variants = {"float32": model, "int8": compress(model, Variant("int8"))}
    digests = {name: save_artifact(folder / name, each, **ids) for name, each in variants.items()}
    peers = folder / "peers.npz"
    arrays = {"users": model.user_factors_, "items": model.item_factors_}
    np.savez(peers, **arrays, indptr=seen.indptr, seen=seen.indices, allow_pickle=False)
    return Models(folder, digests, peers)


@contextmanager
def ours(models: Models, variant: str, *, cache_bytes: int = 0) -> Iterator[int]:
    """Run our model server; give its port once it is ready."""
    port, folder = free_port(), models.folder / f"server-{secrets.token_hex(4)}"
    folder.mkdir()
    key, config = folder / "key", folder / "config.json"
    settings = {
        "artifact": str(models.folder / variant),
        "digest": models.digests[variant],
        "host": "127.0.0.1",
        "port": port,
        "release_id": "rel_1",
        "release_number": 1,
        "deployment_id": "dep_1",
        "model": "bench",
        "model_version": 1,
        "algorithm": "als" if variant == "float32" else "als_compressed",
        "signing_key_file": str(key),
        "cache_bytes": cache_bytes,
        "drain_s": 0,
        "numba_cache_dir": os.environ.get("NUMBA_CACHE_DIR", str(ROOT / "var/numba")),
    }
    for path, text in ((key, secrets.token_hex(32)), (config, json.dumps(settings))):
        path.touch(mode=0o600)
        path.write_text(text)
    command = [INTERPRETERS["ours"], "-m", "engine.serving", "--config", config]
    with _running(command, port, "/v2/health/ready", cwd=ROOT):
        yield port


@contextmanager
def flask(models: Models) -> Iterator[int]:
    """Run the model behind Flask and gunicorn, four threads."""
    port = free_port()
    command = [INTERPRETERS["peers"], "-m", "gunicorn", "--threads", "4", "--bind", f"127.0.0.1:{port}"]
    environment = {"BENCH_MODEL": str(models.peers)}
    with _running([*command, "flask_peer:make()"], port, "/health", cwd=HERE, environment=environment):
        yield port


@contextmanager
def bento(models: Models) -> Iterator[int]:
    """Run the model behind BentoML, one worker."""
    port = free_port()
    command = [INTERPRETERS["peers"], "-m", "bentoml", "serve", "bento_peer:Recommender"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    private = {"BENTOML_HOME": str(models.folder / "bento"), "BENTOML_DO_NOT_TRACK": "True"}
    environment = {"BENCH_MODEL": str(models.peers), **private}
    with _running(command, port, "/readyz", cwd=HERE, environment=environment):
        yield port


@contextmanager
def _running(
    command: list[str | Path],
    port: int,
    ready_at: str,
    *,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[None]:
    given = {**os.environ, **ENVIRONMENT, **(environment or {})}
    process = subprocess.Popen(
        command, cwd=cwd, env=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + READY_WITHIN_S
        while not _answers(port, ready_at):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[2]} does not get ready (status {process.poll()})")
            time.sleep(0.01)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
