"""The rollback's rows: click after click on a real stack of its own, under load, back and forth.

With a cluster (`tests/cluster/open`) the same again there, with a portal outside of it.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pairs import Row

from tests.cluster.cluster import TestCluster
from tests.cluster.portal_outside import await_gateways, portal_outside
from tests.running_stack import RunningStack
from tests.services import separate_stack
from tests.shops import AT_ONCE, LiveShop, open_live_shop, write_files

CLICKS = int(os.environ.get("CLICKS", "20"))
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Place:
    """Where traffic is rolled back, and how fast it must be.

    rate: requests a second, half of them POST; a prober at 50 a second and gateway comes on top.
    """

    what: str
    must_s: float
    rate: float
    gateway_url: str = ""  # empty: the stack's own
    gateways: int = 1


def rows(folder: Path) -> Iterator[Row]:
    with separate_stack() as home:
        shop = open_live_shop(RunningStack(home))
        try:
            yield from click_again_and_again(shop, folder, Place("rollback", must_s=0.3, rate=150))
        finally:
            shop.close()
    if os.environ.get("AISLE_TEST_IMAGE"):
        yield from cluster_rows(folder)
    else:
        print("Left out: the rollback in a cluster.", flush=True)


def cluster_rows(folder: Path) -> Iterator[Row]:
    cluster = TestCluster()
    with cluster.namespace_of_its_own(), portal_outside(cluster) as stack:
        shop = open_live_shop(stack, backend="kubernetes")
        try:
            url = await_gateways(shop, cluster)
            place = Place("rollback in a cluster", must_s=1, rate=80, gateway_url=url, gateways=2)
            yield from click_again_and_again(shop, folder, place)
        finally:
            shop.close()


def click_again_and_again(shop: LiveShop, folder: Path, place: Place) -> Iterator[Row]:
    first, second = shop.train(shop.upload(*write_files(folder)), "popularity", "item_knn")
    shop.go_live(first)
    users = shop.program.get(f"model-versions/{first}/shoppers", n=500)["shoppers"]
    shop.go_live(second, AT_ONCE)
    traffic = shop.traffic(users, place.rate, place.gateway_url)
    traffic.start()
    try:
        moved_ms = [roll_back(shop, place.gateways) for _ in range(CLICKS)]
    finally:
        traffic.stop()
    p50, p95, most = np.percentile(moved_ms, [50, 95, 100]).tolist()
    what, failed = place.what, sum(traffic.failures.values())
    note = f"{CLICKS} clicks; p50 {p50:.0f} ms, slowest {most:.0f} ms; {traffic.total:,} requests meanwhile"
    yield Row(f"{what}, click → all traffic moved, p50, seconds", "≤", place.must_s, "–", p50 / 1000)
    yield Row(f"{what}, click → all traffic moved, p95, seconds", "≤", place.must_s, "–", p95 / 1000, note)
    yield Row(f"{what}: requests that failed meanwhile", "≤", 0, "0", failed, ", ".join(traffic.failures))


def roll_back(shop: LiveShop, gateways: int) -> float:
    """Click once; the milliseconds until no other release answered and all gateways ran the new routes."""
    target = shop.program.get(f"deployments/{shop.deployment}")["last_good"]["id"]
    clicked = shop.people["operator"].post(f"deployments/{shop.deployment}/rollback", {"to_release": target})
    shop.wait_rollout(clicked["id"], "succeeded")
    deadline = time.monotonic() + PATIENCE_S
    while True:
        measured: dict[str, Any] = shop.program.get(f"rollouts/{clicked['id']}")["measured"]
        has_all = len(measured.get("gateways", {})) == gateways
        if has_all and measured["routes_running_ms"] is not None:
            return float(max(measured["routes_running_ms"], measured.get("last_other_answer_ms") or 0))
        if time.monotonic() > deadline:
            raise RuntimeError("not every gateway has said that it runs the new routes")
        time.sleep(0.1)
