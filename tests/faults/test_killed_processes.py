"""Processes die: a training run finishes once, a model server comes back, rollbacks lose no request."""

import os
import signal
import time

import pytest

from portal.demo.client import ApiError, Client
from tests.shops import AT_ONCE, LiveShop

pytestmark = pytest.mark.fault

RUN_PATIENCE_S = 150.0  # lease 15 s, dispatcher, a fresh worker and the run itself, five times over
BACK_WITHIN_S = 5 * 5.0
ROLLBACKS, REQUESTS = 5, 5_000


@pytest.fixture(scope="module")
def data(shop: LiveShop, files) -> str:
    return shop.upload(*files)


def test_a_run_whose_worker_is_killed_finishes_once(shop: LiveShop, data):
    slow = {"algorithm": "als", "config": {"factors": 128, "iterations": 40}}
    started = shop.program.post(
        "training-runs", {"dataset_version": data, "model": "main", "algorithms": [slow]}
    )
    run = next(each for each in started["runs"] if each["algorithm"] == "als")["id"]
    wait_until(lambda: shop.program.get(f"training-runs/{run}")["stage"] == "fit", 60)
    killed = shop.stack.pid("worker-train")
    for child in children_of(killed):
        os.kill(child, signal.SIGKILL)
    shop.stack.kill("worker-train")
    shop.program.wait(run, timeout_s=RUN_PATIENCE_S)
    events = shop.people["admin"].get("audit-events", object_id=run)["results"]
    assert [event["to_status"] for event in events].count("succeeded") == 1
    versions = [each for each in shop.program.get("model-versions")["results"] if each["run"] == run]
    assert len(versions) == 1


def test_five_rollbacks_under_load_lose_no_request(shop: LiveShop, data):
    first, second = shop.train(data, "popularity", "item_knn")
    shop.go_live(first)
    users = shop.program.get(f"model-versions/{first}/shoppers", n=500)["shoppers"]
    shop.go_live(second, AT_ONCE)
    traffic = shop.traffic(users, rate=250)
    traffic.start()
    measured = []
    try:
        for _ in range(ROLLBACKS):  # back, and forward again: the release left behind stays warm
            target = shop.program.get(f"deployments/{shop.deployment}")["last_good"]["id"]
            rollout = shop.people["operator"].post(
                f"deployments/{shop.deployment}/rollback", {"to_release": target}
            )
            shop.wait_rollout(rollout["id"], "succeeded")
            wait_until(lambda rollout=rollout: gateway_word(shop, rollout["id"]), 30)
            measured.append(gateway_word(shop, rollout["id"]))
        wait_until(lambda: traffic.total >= REQUESTS, 120)
    finally:
        traffic.stop()
    print(f"{traffic.total} requests, rollbacks seen by shoppers after {measured} ms")
    assert not traffic.failures
    assert traffic.total >= REQUESTS
    assert set(traffic.answers) == {1, 2}
    assert max(measured) <= 5 * 300


def gateway_word(shop: LiveShop, rollout: str) -> float | None:
    """The later of the last other answer and the new routes, in ms after the click; None while unknown."""
    measured = shop.program.get(f"rollouts/{rollout}")["measured"]
    if measured.get("routes_running_ms") is None:
        return None
    return max(measured["routes_running_ms"], measured.get("last_other_answer_ms") or 0)


def test_a_killed_live_server_is_back_by_itself(shop: LiveShop):
    servers = server_pids(shop)
    for pid in servers:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not set(servers) & set(server_pids(shop)), 10)
    started = time.monotonic()
    wait_until(lambda: answers(shop), BACK_WITHIN_S)
    print(f"answered again {time.monotonic() - started:.1f} s after the kill")


def answers(shop: LiveShop) -> bool:
    client = Client(shop.stack.gateway_url)
    try:
        return bool(client.recommend(f"{shop.slug}/home", "someone", 3)["items"])
    except (ApiError, OSError):
        return False
    finally:
        client.close()


def server_pids(shop: LiveShop) -> list[int]:
    """Model servers of this shop's releases: processes whose command names one of their folders."""
    releases = {each["id"] for each in shop.program.get("releases", deployment=shop.deployment)["results"]}
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    command = file.read().decode(errors="replace")
            except OSError:
                continue
            if "engine.serving" in command and any(release in command for release in releases):
                found.append(int(entry))
    return found


def children_of(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def wait_until(holds, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s"
        time.sleep(0.1)
