"""The agent beside a real Envoy, asking a small real portal."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deployments_app import agent_compare, agent_probe
from deployments_app.agent import Agent
from deployments_app.agent_config import AgentConfig, read_config
from deployments_app.agent_files import FolderTaken
from deployments_app.gateway import Ports, Shadow, Watch
from deployments_app.gateway_bootstrap import KINDS, live_file
from deployments_app.serving_keys import issue_key
from deployments_app.tests.gateway_rig import (
    Gateway,
    Upstream,
    deployment,
    free_port,
    is_reading_allowed,
    running_upstreams,
    wait_until,
)
from deployments_app.tests.portal_stand_in import TOKEN, PortalStandIn

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def upstreams() -> Iterator[dict[str, Upstream]]:
    with running_upstreams("r1", "r2") as running:
        yield running


@pytest.fixture
def portal() -> Iterator[PortalStandIn]:
    portal = PortalStandIn()
    portal.start()
    yield portal
    portal.stop()


def config(gateway: Gateway, portal: PortalStandIn, kept: Path | None = None) -> AgentConfig:
    return AgentConfig(gateway.path, portal.url, TOKEN, gateway.ports, "agent-1", kept_routes=kept)


@contextlib.contextmanager
def running_agent(gateway: Gateway, portal: PortalStandIn, kept: Path | None = None) -> Iterator[Agent]:
    agent = Agent(config(gateway, portal, kept))
    running = threading.Thread(target=agent.run)
    running.start()
    try:
        wait_until((gateway.path / "bootstrap.json").exists, "the bootstrap")
        if gateway.process is None:
            gateway.run_envoy()
        yield agent
    finally:
        agent.stop()
        running.join()


def just_now() -> str:
    return datetime.now(UTC).isoformat()


def test_new_weights_reach_shoppers_and_the_portal_learns_what_runs(
    gateway: Gateway, portal: PortalStandIn, upstreams: dict[str, Upstream]
) -> None:
    portal.publish(deployment(upstreams, {"r1": 100, "r2": 0}))
    with running_agent(gateway, portal):
        report = portal.await_running(portal.routes)
        assert (report.agent_id, report.environment, report.problem) == ("agent-1", "production", "")
        assert gateway.ask_for("u1").release == "r1"
        took = []
        for weights in ({"r1": 0, "r2": 100}, {"r1": 100, "r2": 0}) * 3:
            published_at = time.monotonic()
            portal.await_running(portal.publish(deployment(upstreams, weights)))
            took.append(time.monotonic() - published_at)
            assert gateway.ask_for("u1").release == max(weights, key=lambda release: weights[release])
    print(
        f"new weights -> the portal knows that they run: {[round(each * 1000) for each in sorted(took)]} ms"
    )
    assert max(took) < 1.5


def test_the_portal_learns_what_each_arm_did(
    gateway: Gateway, portal: PortalStandIn, upstreams: dict[str, Upstream]
) -> None:
    portal.publish(deployment(upstreams, {"r1": 50, "r2": 50}))
    with running_agent(gateway, portal):
        portal.await_running(portal.routes)
        split = list(gateway.split([f"u{number}" for number in range(50)]).values())
        portal.await_report(
            lambda report: (
                [(arm.deployment_id, arm.release_id, arm.requests_total) for arm in report.arms]
                == [("dep_home", "r1", split.count("r1")), ("dep_home", "r2", split.count("r2"))]
            )
        )


def test_a_portal_that_answers_at_once_is_asked_ten_times_a_second(
    gateway: Gateway, portal: PortalStandIn, upstreams: dict[str, Upstream]
) -> None:
    portal.publish(deployment(upstreams, {"r1": 100}))
    with running_agent(gateway, portal):
        portal.await_running(portal.routes)
        portal.status.clear()
        time.sleep(1.0)
        polls = [status for status in portal.status if status in (200, 304)]
        assert 6 <= len(polls) <= 11
        assert set(polls) == {304}


def test_serving_goes_on_while_the_portal_is_down_also_through_a_restart_of_envoy(
    gateway: Gateway, portal: PortalStandIn, upstreams: dict[str, Upstream]
) -> None:
    portal.publish(deployment(upstreams, {"r1": 100}))
    with running_agent(gateway, portal):
        portal.await_running(portal.routes)
        portal.stop()
        gateway.restart_envoy()
        wait_until(lambda: gateway.ask_for("u1").release == "r1", "Envoy serves from its files")
        routes = portal.publish(deployment(upstreams, {"r1": 0, "r2": 100}))
        portal.start()
        portal.await_running(routes)
        assert gateway.ask_for("u1").release == "r2"


def test_an_agent_that_was_killed_leaves_the_gateway_serving_and_its_successor_goes_on(
    gateway: Gateway, portal: PortalStandIn, upstreams: dict[str, Upstream]
) -> None:
    _, jwk, token = issue_key("shop/home", datetime.now(UTC) + timedelta(hours=1))
    portal.publish(deployment(upstreams, {"r1": 100}, is_open=False, keys=(jwk,)))
    environment = {
        **os.environ,
        "AISLE_HOME": str(gateway.path.parent),
        "PORTAL_URL": portal.url,
        "AGENT_TOKEN": TOKEN,
        "AGENT_ID": "agent-1",
        "GATEWAY_URL": f"http://127.0.0.1:{gateway.ports.port}",
        "GATEWAY_ADMIN_URL": f"http://127.0.0.1:{gateway.ports.admin_port}",
    }

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "deployments_app.agent"]
        return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)

    def is_served() -> bool:
        return gateway.ask_for("u1", headers={"Authorization": f"Bearer {token}"}).status == 200

    first = start()
    try:
        wait_until((gateway.path / "bootstrap.json").exists, "the bootstrap")
        gateway.run_envoy()
        portal.await_running(portal.routes)
        assert is_served()
    finally:
        first.kill()
        first.wait()
    gateway.restart_envoy()
    assert is_served()
    second = start()
    try:
        routes = portal.publish(deployment(upstreams, {"r1": 0, "r2": 100}, is_open=False, keys=(jwk,)))
        portal.await_running(routes)
        assert is_served()
        second.send_signal(signal.SIGTERM)
        assert second.wait(timeout=5) == 0
    finally:
        second.kill()
        second.wait()


def test_routes_that_cannot_be_read_change_nothing_and_the_portal_hears_why(
    gateway: Gateway, portal: PortalStandIn, upstreams: dict[str, Upstream]
) -> None:
    good = portal.publish(deployment(upstreams, {"r1": 100}))
    with running_agent(gateway, portal):
        portal.await_running(good)
        for garbage in (
            b"",
            b"<html>502</html>",
            b"[" * 100_000,
            b"\xff",
            b'{"version":"v2","deployments":[]}',
        ):
            portal.garbage = garbage
            time.sleep(0.25)
            assert gateway.ask_for("u1").release == "r1"
        report = portal.await_report(lambda report: "cannot be read" in report.problem)
        assert report.envoy_version_running == good.version
        portal.garbage = None
        portal.await_running(portal.publish(deployment(upstreams, {"r1": 100}, salt="s2")))
        assert portal.await_report(lambda report: report.problem == "", last=1)


def test_a_rollback_is_measured_as_shoppers_see_it(
    gateway: Gateway, portal: PortalStandIn, upstreams: dict[str, Upstream]
) -> None:
    before = deployment(upstreams, {"r1": 0, "r2": 100}, stable="r2", is_open=False)
    portal.publish(before)
    with running_agent(gateway, portal):
        portal.await_running(portal.routes)
        watch = Watch("rol_1", just_now(), "r2", "r1")
        portal.publish(deployment(upstreams, {"r1": 100, "r2": 0}, stable="r1", is_open=False, watch=watch))
        clicked_at = time.time()
        report = portal.await_report(lambda report: report.watches)
        (measured,) = report.watches
        print(measured)
        assert measured.rollout_id == "rol_1"
        assert measured.errors == 0
        assert measured.probes >= 20
        assert measured.routes_running_ms is not None
        assert 0 < measured.routes_running_ms < 1500
        if measured.last_other_answer_ms is not None:
            assert measured.last_other_answer_ms < 1500
        assert time.time() - clicked_at < 5
        assert sum(arm.requests_total for arm in report.arms) == 0  # probes are no shoppers
        wait_until(lambda: portal.reports[-1].watches == (), "the portal took it once")


def test_a_rehearsal_moves_the_probes_and_no_shopper(
    gateway: Gateway, portal: PortalStandIn, upstreams: dict[str, Upstream]
) -> None:
    portal.publish(deployment(upstreams, {"r1": 0, "r2": 100}, stable="r2"))
    with running_agent(gateway, portal):
        portal.await_running(portal.routes)
        watch = Watch("reh_1", just_now(), "r2", "r1")
        rehearsed = deployment(upstreams, {"r1": 0, "r2": 100}, stable="r2", watch=watch, rehearsal="r1")
        portal.await_running(portal.publish(rehearsed))
        shoppers = {gateway.ask_for(f"u{n}").release for n in range(20)}
        (measured,) = portal.await_report(lambda report: report.watches).watches
        assert shoppers == {"r2"}
        assert (measured.rollout_id, measured.errors) == ("reh_1", 0)
        assert measured.routes_running_ms is not None
        assert 0 < measured.routes_running_ms < 1500
        assert (measured.last_other_answer_ms or 0) < 1500


def test_a_rollback_that_does_not_take_effect_is_measured_as_such(
    gateway: Gateway, portal: PortalStandIn, upstreams: dict[str, Upstream], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_probe, "LIMIT_S", 2.0)
    watch = Watch("rol_2", just_now(), "r2", "r1")
    portal.publish(deployment(upstreams, {"r1": 50, "r2": 50}, watch=watch))
    with running_agent(gateway, portal):
        report = portal.await_report(lambda report: report.watches, timeout_s=8)
    (measured,) = report.watches
    assert measured.last_other_answer_ms is not None
    assert measured.last_other_answer_ms > 1700


def test_an_old_rollback_is_not_measured_again(
    gateway: Gateway, portal: PortalStandIn, upstreams: dict[str, Upstream]
) -> None:
    long_ago = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    portal.publish(deployment(upstreams, {"r1": 100}, watch=Watch("rol_3", long_ago, "r2", "r1")))
    with running_agent(gateway, portal):
        portal.await_running(portal.routes)
        time.sleep(0.8)
        assert not any(report.watches for report in portal.reports)


def test_a_shadow_is_compared_with_stable_for_the_same_shoppers(
    gateway: Gateway,
    portal: PortalStandIn,
    upstreams: dict[str, Upstream],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Five of ten items are the same from both; what a frozen shadow does not answer is its error."""
    monkeypatch.setattr(agent_compare, "PAIRS_PER_S", 50.0)
    portal.shoppers = ["u1", "ü 2", "u3"]
    shadow = Shadow("rol_9", "r2", 25)
    portal.publish(deployment(upstreams, {"r1": 100, "r2": 0}, shadow=shadow, is_open=False))
    with running_agent(gateway, portal):
        report = portal.await_report(lambda report: any(each.answered >= 6 for each in report.pairs), 20)
        (pairs,) = report.pairs
        assert pairs.rollout_id == "rol_9"
        assert (
            pairs.asked - pairs.answered == pairs.live_errors + pairs.new_errors <= 1
        )  # a slow first connect
        assert pairs.overlap == pytest.approx(0.5 * pairs.answered)
        assert pairs.live_score == pairs.new_score == 2.0 * pairs.answered
        assert min(pairs.live_ms, pairs.new_ms) > 0
        assert all(arm.requests_total == 0 for arm in report.arms)  # nobody who shops
        upstreams["r2"].signal(signal.SIGSTOP)
        try:
            portal.await_report(lambda report: any(each.new_errors > 1 for each in report.pairs), 20)
            portal.publish(deployment(upstreams, {"r1": 90, "r2": 10}))
            portal.await_running(portal.routes, 15)
        finally:
            upstreams["r2"].signal(signal.SIGCONT)
        wait_until(lambda: "compare" not in [each.name for each in threading.enumerate()], "its end", 15)
        reported = len(portal.reports)
        wait_until(lambda: len(portal.reports) > reported + 1, "the reports after it", 15)
        assert not portal.reports[-1].pairs  # the pair that was under way is not counted either


def test_an_agent_with_a_wrong_token_backs_off_and_says_so(
    gateway: Gateway, portal: PortalStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    agent = Agent(AgentConfig(gateway.path, portal.url, "wrong", gateway.ports, "agent-1"))
    running = threading.Thread(target=agent.run)
    running.start()
    wait_until(lambda: len(portal.asked_at) >= 4, "some tries")
    agent.stop()
    running.join()
    first, *_, before, last = portal.asked_at
    assert last - before > 2 * (portal.asked_at[1] - first)
    assert "The portal answered 401" in caplog.text
    assert "wrong" not in caplog.text


def test_two_agents_never_write_one_folder(gateway: Gateway, portal: PortalStandIn) -> None:
    with running_agent(gateway, portal), pytest.raises(FolderTaken):
        Agent(config(gateway, portal)).run()


def test_an_envoy_on_an_older_bootstrap_is_asked_to_leave(gateway: Gateway, portal: PortalStandIn) -> None:
    with running_agent(gateway, portal):
        assert gateway.process is not None
    gateway.ports = Ports("127.0.0.1", free_port(), free_port())
    with running_agent(gateway, portal):
        assert gateway.process.wait(timeout=5) == 0
        gateway.run_envoy()
        assert gateway.ask("/healthz").status == 200


def test_what_the_agent_writes_is_for_its_owner_only(gateway: Gateway, portal: PortalStandIn) -> None:
    with running_agent(gateway, portal):
        portal.await_running(portal.routes)
        files = [gateway.path / "bootstrap.json", *(live_file(gateway.path, kind) for kind in KINDS)]
        assert not any(is_reading_allowed(path) for path in files)


def test_a_missing_setting_is_named() -> None:
    settings = {"PORTAL_URL": "http://127.0.0.1:1", "GATEWAY_URL": "http://127.0.0.1:2", "AGENT_TOKEN": "t"}
    with pytest.raises(ValueError, match="GATEWAY_ADMIN_URL is not set"):
        read_config(settings.get, Path("home"))
    found = read_config({**settings, "GATEWAY_ADMIN_URL": "http://127.0.0.1:3"}.get, Path("home"))
    assert found.ports == Ports("127.0.0.1", 2, 3)
    assert found.folder == Path("home/gateway")
