"""Processes die or hang: runs finish once, servers come back, rollouts go on, and shoppers notice nothing."""

import os
import signal
import time
import urllib.request
from collections.abc import Iterator

import psycopg
import pytest

from portal.demo.client import ApiError, Client
from portal.demo.traffic import Traffic
from tests.shops import AT_ONCE, QUICK, LiveShop

pytestmark = pytest.mark.fault

RUN_PATIENCE_S = 150.0  # lease 15 s, dispatcher, a fresh worker and the run itself, five times over
BACK_WITHIN_S = 5 * 5.0
CONVERGES_WITHIN_S = 30.0
ROLLBACKS, REQUESTS, RATE_PER_S = 5, 5_000, 250
CALM = {**QUICK, "checks": {"max_error_ratio": 0.01, "p95_ratio": 50}}  # the kill slows the canary, too


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
    shop.stack.kill_all_of("worker-train")
    shop.program.wait(run, timeout_s=RUN_PATIENCE_S)
    events = shop.people["admin"].get("audit-events", object_id=run)["results"]
    assert [event["to_status"] for event in events].count("succeeded") == 1
    assert "Attempt 2: the worker before was lost" in shop.program.get(f"training-runs/{run}/log")["log"]
    versions = [each for each in shop.program.get("model-versions")["results"] if each["run"] == run]
    assert len(versions) == 1


@pytest.fixture(scope="class")
def traffic(shop: LiveShop, data: str) -> Iterator[Traffic]:
    shop.versions = shop.train(data, "popularity", "item_knn")
    first, second = shop.versions
    shop.go_live(first)
    users = shop.program.get(f"model-versions/{first}/shoppers", n=500)["shoppers"]
    shop.go_live(second, AT_ONCE)
    traffic = shop.traffic(users, rate=RATE_PER_S)
    traffic.start()
    yield traffic
    traffic.stop()


class TestUnderLoad:
    """What must fail no request, while shoppers ask all along, each test from where the last one ended."""

    def test_five_rollbacks(self, shop: LiveShop, traffic: Traffic) -> None:
        measured = []
        for _ in range(ROLLBACKS):  # back, and forward again: the release left behind stays warm
            rollout = roll_back(shop)
            shop.wait_rollout(rollout, "succeeded")
            measured.append(wait_for_gateway(shop, rollout))
        print(f"{traffic}; rollbacks seen by shoppers after {measured} ms")
        assert not traffic.failures
        assert max(measured) <= 5 * 300

    def test_a_ramp_goes_on_when_its_worker_is_killed(self, shop: LiveShop, traffic: Traffic) -> None:
        asked = shop.ask(shop.versions[1], CALM)
        approved = shop.people["approver"].post(f"promotions/{asked['id']}/approve", {"comment": "Go."})
        rollout = approved["rollouts"][-1]
        wait_until(lambda: shop.program.get(f"rollouts/{rollout}")["weight_pct"] == 10, 30)
        shop.stack.kill("worker-deploy")  # not the model servers, which outlive it
        began = time.monotonic()
        shop.wait_rollout(rollout, "succeeded", timeout_s=CONVERGES_WITHIN_S)
        print(f"at 100 % {time.monotonic() - began:.1f} s after the kill")
        assert shop.program.get(f"deployments/{shop.deployment}")["stable"]["number"] == 3
        assert not traffic.failures

    def test_a_rollback_needs_no_worker_to_reach_shoppers(self, shop: LiveShop, traffic: Traffic) -> None:
        rollout = roll_back(shop)
        shop.stack.kill("worker-deploy")  # not the model servers, which outlive it
        began = time.monotonic()
        shop.wait_rollout(rollout, "succeeded", timeout_s=CONVERGES_WITHIN_S)
        measured = wait_for_gateway(shop, rollout)
        print(
            f"seen by shoppers after {measured} ms, confirmed {time.monotonic() - began:.1f} s after the kill"
        )
        assert measured <= 5 * 300
        assert not traffic.failures

    @pytest.mark.parametrize("hold_s", [8, pytest.param(20, marks=pytest.mark.long)])
    def test_shoppers_notice_nothing_while_portal_and_stores_hang(
        self, shop: LiveShop, traffic: Traffic, hold_s: float
    ) -> None:
        before = traffic.total
        with shop.stack.held("postgres", "redis", "web"):
            over = time.monotonic() + hold_s
            with pytest.raises(OSError, match="timed out"):
                urllib.request.urlopen(f"{shop.stack.portal_url}/healthz", timeout=1)
            with pytest.raises(psycopg.OperationalError, match="timeout"):
                psycopg.connect(shop.stack.database_url, connect_timeout=2)
            time.sleep(max(0.0, over - time.monotonic()))
            answered = traffic.total - before
        assert answered >= 0.8 * RATE_PER_S * hold_s
        assert not traffic.failures
        shop.wait_rollout(roll_back(shop), "succeeded", timeout_s=CONVERGES_WITHIN_S)

    def test_all_of_them_were_answered(self, traffic: Traffic) -> None:
        wait_until(lambda: traffic.total >= REQUESTS, 120)
        print(traffic)
        assert not traffic.failures
        assert {1, 2} <= set(traffic.answers)


def roll_back(shop: LiveShop) -> str:
    """Go to the release that was everybody's before, whichever way that is; returns the rollout's id."""
    target = shop.program.get(f"deployments/{shop.deployment}")["last_good"]["id"]
    click = shop.people["operator"].post(f"deployments/{shop.deployment}/rollback", {"to_release": target})
    return str(click["id"])


def wait_for_gateway(shop: LiveShop, rollout: str) -> float:
    wait_until(lambda: gateway_word(shop, rollout) is not None, 30)
    found = gateway_word(shop, rollout)
    assert found is not None
    return found


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


def wait_until(holds, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s"
        time.sleep(0.1)
