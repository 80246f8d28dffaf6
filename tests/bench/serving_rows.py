"""The rows of the model server and the gateway: all servers are up, and each is asked in turn."""

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from loads import Load, get, post, put_load
from pairs import N_PAIRS, Row
from servers import USERS, Models, bento, flask, make_models, ours

from deployments_app.tests.gateway_rig import Gateway, Upstream, deployment

CACHE_BYTES = 64 * 1024 * 1024
Turns = dict[str, list[Load]]


def rows(folder: Path) -> Iterator[Row]:
    models = make_models(folder)
    users = [f"u{at}" for at in np.random.default_rng(2).permutation(USERS)]
    asked = [get(f"/shop/home/recommendations?user={user}&k=10") for user in users]
    yield start_to_ready(models)
    yield from beside_peers(models, users, asked)
    yield through_the_gateway(models, asked)


def start_to_ready(models: Models) -> Row:
    took_s = []
    for _ in range(1 + N_PAIRS):
        started = time.monotonic()
        with ours(models, "float32"):
            took_s.append(time.monotonic() - started)
    measured = statistics.median(took_s[1:])  # the first one reads files and kernels from the disk
    note = f"of {N_PAIRS} starts; the first, with nothing in memory, {took_s[0]:.2f}"
    return Row("model server, start to ready, seconds", "≤", 1.0, "–", measured, note)


def beside_peers(models: Models, users: Sequence[str], asked: Sequence[bytes]) -> Iterator[Row]:
    plain = [get(f"/recommendations?user={user}&k=10") for user in users]
    posted = [post("/recommendations", {"user": user, "k": 10}) for user in users]
    with ExitStack() as stack:
        sides = {
            "ours": (stack.enter_context(ours(models, "float32")), asked),
            "int8": (stack.enter_context(ours(models, "int8")), asked),
            "cached": (stack.enter_context(ours(models, "float32", cache_bytes=CACHE_BYTES)), asked[:1000]),
            "flask": (stack.enter_context(flask(models)), plain),
            "bento": (stack.enter_context(bento(models)), posted),
        }
        for port, requests in sides.values():
            put_load(port, requests, seconds=1)
        turns: Turns = {name: [] for name in sides}
        for _ in range(N_PAIRS):
            for name, (port, requests) in sides.items():
                load = put_load(port, requests)
                if load.refused:
                    raise RuntimeError(f"{name} refused {load.refused} requests")
                turns[name].append(load)
    for name, peer, must, reach in (
        ("Flask + gunicorn (4 threads)", "flask", 3, "3.5"),
        ("BentoML", "bento", 8, "11"),
    ):
        notes = [_told(turns[side]) for side in ("ours", peer)]
        measured = _ratio(turns, "ours", peer)
        note = " · ".join(notes)
        yield Row(f"model server, requests/s / {name}", "≥", must, reach, measured, note)
    worst = statistics.median(load.p99_ms for load in turns["ours"])
    yield Row("its p99 with 8 connections, ms", "≤", 20, "6.3", worst)
    note = _told(turns["int8"])
    yield Row("int8 items / Flask + gunicorn", "≥", None, "–", _ratio(turns, "int8", "flask"), note)
    note = _told(turns["cached"])
    yield Row("lists from the cache / made anew", "≥", 1, "–", _ratio(turns, "cached", "ours"), note)


def through_the_gateway(models: Models, asked: Sequence[bytes]) -> Row:
    with ours(models, "float32") as port, tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(Path(folder))
        gateway.start()
        try:
            gateway.publish(deployment({"r1": Upstream("r1", port)}, {"r1": 100}))
            more_ms, last = [], (0.0, 0.0)
            for _ in range(N_PAIRS):
                straight = put_load(port, asked, connections=1, seconds=2)
                through = put_load(gateway.ports.port, asked, connections=1, seconds=2)
                if through.refused:
                    raise RuntimeError(f"the gateway refused {through.refused} requests")
                more_ms.append(through.p50_ms - straight.p50_ms)
                last = (straight.p50_ms, through.p50_ms)
        finally:
            gateway.stop()
    note = f"one connection; p50 {last[0]:.2f} ms straight, {last[1]:.2f} ms through"
    return Row("gateway, p50 through − p50 straight, ms", "≤", 1.0, "–", statistics.median(more_ms), note)


def _ratio(turns: Turns, ours: str, peer: str) -> float:
    pairs = zip(turns[ours], turns[peer], strict=True)
    return statistics.median(mine.per_second / theirs.per_second for mine, theirs in pairs)


def _told(loads: list[Load]) -> str:
    middle = sorted(loads, key=lambda load: load.per_second)[len(loads) // 2]
    return f"{middle.per_second:,.0f}/s, p50 {middle.p50_ms:.1f}, p99 {middle.p99_ms:.1f} ms"
