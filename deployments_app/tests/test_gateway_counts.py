"""Whom Envoy charges for what, and the totals an agent makes of it."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from deployments_app.agent_counts import ArmCounts
from deployments_app.agent_envoy import EnvoyAdmin, Scrape
from deployments_app.gateway import ArmReport, Routes, Shadow
from deployments_app.gateway_routes import PROBE_HEADER
from deployments_app.tests.gateway_rig import (
    PROBE_MARK,
    Gateway,
    Upstream,
    deployment,
    running_upstreams,
    wait_until,
)

PATIENCE_S = 10.0


@pytest.fixture(scope="module")
def upstreams() -> Iterator[dict[str, Upstream]]:
    with running_upstreams("r1", "r2") as running:
        yield running


@pytest.fixture
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("counts"))
    gateway.start()
    yield gateway
    gateway.stop()


class Counting:
    """Counts what one gateway does from now on."""

    def __init__(self, gateway: Gateway, routes: Routes) -> None:
        self.envoy = EnvoyAdmin(gateway.ports.admin_port)
        gateway.opened.append(self.envoy)
        self.counts = ArmCounts()
        self.counts.follow(routes)
        self.read()

    def read(self) -> dict[str, ArmReport]:
        """Scrape until the times, which trail by a scrape or two, are those of all answers."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self.counts.add(self.envoy.scrape())
            arms = {arm.release_id: arm for arm in self.counts.reports()}
            timed = {name: arm.latency_ms[-1][1] if arm.latency_ms else 0 for name, arm in arms.items()}
            if timed == {name: arm.requests_total for name, arm in arms.items()}:
                return arms
            assert time.monotonic() < deadline, (timed, arms)
            time.sleep(0.02)


def totals(arm: ArmReport) -> tuple[int, int, int]:
    return arm.requests_total, arm.errors_5xx_total, arm.retried_total


def test_each_request_is_charged_once_to_the_arm_it_was_assigned_to(
    gateway: Gateway, upstreams: dict[str, Upstream]
) -> None:
    counting = Counting(gateway, gateway.publish(deployment(upstreams, {"r1": 50, "r2": 50})))
    split = list(gateway.split([f"u{number}" for number in range(60)]).values())
    arms = counting.read()
    assert totals(arms["r1"]) == (split.count("r1"), 0, 0)
    assert totals(arms["r2"]) == (split.count("r2"), 0, 0)
    assert arms["r1"].latency_ms[-1][1] == split.count("r1")


def test_errors_of_an_arm_are_its_own_also_when_stable_hides_them(
    gateway: Gateway, upstreams: dict[str, Upstream]
) -> None:
    counting = Counting(gateway, gateway.publish(deployment(upstreams, {"r1": 0, "r2": 100})))
    assert gateway.ask_for("u1&fail=r2:500").status == 500
    assert gateway.ask_for("u2&fail=r2:503").release == "r1"
    assert gateway.ask_for("u3").release == "r2"
    assert gateway.ask_for("u4&fail=503").status == 503
    assert gateway.ask_for("u5&fail=429").status == 429, "too much at once is no fault of the release"
    arms = counting.read()
    assert totals(arms["r2"]) == (5, 3, 2)
    assert totals(arms["r1"]) == (0, 0, 0)


def test_an_arm_that_is_never_asked_because_it_is_gone_still_counts_as_failed(
    gateway: Gateway, upstreams: dict[str, Upstream]
) -> None:
    route = deployment(upstreams, {"r1": 0, "r2": 100})
    gone = replace(route, arms=(route.arms[0], replace(route.arms[1], endpoints=())))
    counting = Counting(gateway, gateway.publish(gone))
    assert {gateway.ask_for(f"u{number}").release for number in range(10)} == {"r1"}
    assert totals(counting.read()["r2"]) == (10, 10, 0)


def test_a_slow_arm_is_charged_its_shoppers_whole_wait(
    gateway: Gateway, upstreams: dict[str, Upstream]
) -> None:
    counting = Counting(gateway, gateway.publish(deployment(upstreams, {"r1": 0, "r2": 100})))
    for number in range(3):
        assert gateway.ask_for(f"u{number}&sleep=r2:0.1").release == "r2"
    assert gateway.ask_for("u9&sleep=r2:0.8").release == "r1"
    arm = counting.read()["r2"]
    latency = dict(arm.latency_ms)
    assert (latency[80], latency[250], latency[500]) == (0, 3, 4)
    assert totals(arm) == (4, 1, 1)


def test_a_hedged_answer_that_the_arm_gave_first_is_no_error(
    gateway: Gateway, upstreams: dict[str, Upstream]
) -> None:
    counting = Counting(gateway, gateway.publish(deployment(upstreams, {"r1": 0, "r2": 100})))
    answer = gateway.ask_for("u1&sleep=r2:0.5&sleep=r1:0.9")
    assert answer.release == "r2"
    assert totals(counting.read()["r2"]) == (1, 0, 1)


def test_measurements_are_not_counted_as_shoppers(gateway: Gateway, upstreams: dict[str, Upstream]) -> None:
    counting = Counting(gateway, gateway.publish(deployment(upstreams, {"r1": 50, "r2": 50})))
    for number in range(30):
        probe = gateway.ask_for(f"p{number}", headers={PROBE_HEADER: PROBE_MARK})
        assert probe.json["headers"]["x-aisle-probe"] == "1"
        pretender = gateway.ask_for(f"p{number}", headers={PROBE_HEADER: "1"})
        assert "x-aisle-probe" not in pretender.json["headers"]
        assert probe.release == pretender.release  # measured as shoppers are split
    arms = counting.read()
    assert arms["r1"].requests_total + arms["r2"].requests_total == 30


def test_a_shadow_is_judged_by_the_copies_it_got(gateway: Gateway, upstreams: dict[str, Upstream]) -> None:
    route = deployment(upstreams, {"r1": 100, "r2": 0}, shadow=Shadow("rol_1", "r2", 100))
    counting = Counting(gateway, gateway.publish(route))
    for number in range(20):
        assert gateway.ask_for(f"u{number}").release == "r1"
    assert gateway.ask_for("u20&fail=r2:500&sleep=r2:0.1").status == 200
    wait_until(lambda: totals(counting.read()["r2"]) == (21, 1, 0), "the copies are counted")
    arms = counting.read()
    assert totals(arms["r1"]) == (21, 0, 0)
    assert arms["r2"].latency_ms[-1][1] == 21
    assert dict(arms["r2"].latency_ms)[80] == 20


def test_totals_survive_a_restart_of_envoy_and_a_change_of_stable(
    gateway: Gateway, upstreams: dict[str, Upstream]
) -> None:
    counting = Counting(gateway, gateway.publish(deployment(upstreams, {"r1": 0, "r2": 100})))
    gateway.split([f"u{number}" for number in range(10)])
    counting.read()
    counting.counts.follow(gateway.publish(deployment(upstreams, {"r1": 0, "r2": 100}, stable="r2")))
    gateway.split([f"u{number}" for number in range(10)])
    assert totals(counting.read()["r2"]) == (20, 0, 0)
    gateway.restart_envoy()
    gateway.split([f"u{number}" for number in range(15)])
    arm = counting.read()["r2"]
    assert totals(arm) == (35, 0, 0)
    assert arm.latency_ms[-1][1] == 35


def scrape(uptime_s: int, **counters: int) -> Scrape:
    names = {
        "completed": ("arm/r2/r1", "completed"),
        "retry": ("arm/r2/r1", "retry"),
        "retry_success": ("arm/r2/r1", "retry_success"),
        "fallback": ("fallback/r2/r1", "total"),
    }
    return Scrape(
        uptime_s, float(uptime_s), uptime_s == 1, {names[name]: value for name, value in counters.items()}
    )


def test_a_retry_that_straddles_two_scrapes_is_one_error(upstreams: dict[str, Upstream]) -> None:
    counts = ArmCounts()
    counts.follow(Routes.of("test", (deployment(upstreams, {"r1": 0, "r2": 100}),)))
    counts.add(scrape(1))
    counts.add(scrape(2, retry=1))
    counts.add(scrape(3, retry=1, fallback=1, retry_success=1, completed=1))
    counts.add(scrape(4, retry=1, fallback=4, retry_success=1, completed=4))
    assert totals(counts.reports()[1]) == (4, 4, 1)
