"""The rollback's rows: click after click on a real stack of its own, under load, back and forth."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pairs import Row

from tests.running_stack import RunningStack
from tests.services import separate_stack
from tests.shops import AT_ONCE, LiveShop, open_live_shop, write_files

CLICKS = int(os.environ.get("CLICKS", "20"))
RATE = 150.0  # requests a second, half of them POST; a prober at 50 a second comes on top
PATIENCE_S = 60.0


def rows(folder: Path) -> Iterator[Row]:
    with separate_stack() as home:
        shop = open_live_shop(RunningStack(home))
        try:
            yield from click_again_and_again(shop, folder)
        finally:
            shop.close()


def click_again_and_again(shop: LiveShop, folder: Path) -> Iterator[Row]:
    first, second = shop.train(shop.upload(*write_files(folder)), "popularity", "item_knn")
    shop.go_live(first)
    users = shop.program.get(f"model-versions/{first}/shoppers", n=500)["shoppers"]
    shop.go_live(second, AT_ONCE)
    traffic = shop.traffic(users, RATE)
    traffic.start()
    try:
        moved_ms = [roll_back(shop) for _ in range(CLICKS)]
    finally:
        traffic.stop()
    p50, p95, most = np.percentile(moved_ms, [50, 95, 100]).tolist()
    note = f"{CLICKS} clicks; p50 {p50:.0f} ms, slowest {most:.0f} ms; {traffic.total:,} requests meanwhile"
    yield Row("rollback, click → all traffic moved, p50, seconds", "≤", 0.3, "–", p50 / 1000)
    yield Row("rollback, click → all traffic moved, p95, seconds", "≤", 0.3, "–", p95 / 1000, note)
    failed = sum(traffic.failures.values())
    yield Row("requests that failed meanwhile", "≤", 0, "0", failed, ", ".join(traffic.failures))


def roll_back(shop: LiveShop) -> float:
    """Click once; the milliseconds until no other release answered and every gateway ran the new routes."""
    target = shop.program.get(f"deployments/{shop.deployment}")["last_good"]["id"]
    clicked = shop.people["operator"].post(f"deployments/{shop.deployment}/rollback", {"to_release": target})
    shop.wait_rollout(clicked["id"], "succeeded")
    deadline = time.monotonic() + PATIENCE_S
    while True:
        measured: dict[str, Any] = shop.program.get(f"rollouts/{clicked['id']}")["measured"]
        if measured.get("routes_running_ms") is not None:
            return float(max(measured["routes_running_ms"], measured.get("last_other_answer_ms") or 0))
        if time.monotonic() > deadline:
            raise RuntimeError("no gateway has said that it runs the new routes")
        time.sleep(0.1)
