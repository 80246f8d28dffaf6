"""What shoppers notice when model servers die, hang or move, through a real Envoy."""

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest

from deployments_app import gateway_clusters
from deployments_app.agent_counts import ArmCounts
from deployments_app.agent_envoy import EnvoyAdmin
from deployments_app.gateway import Arm
from deployments_app.tests.gateway_rig import Answer, Gateway, deployment, running_upstreams, wait_until

LATE = "/shop/home/recommendations?user={}&k=1&sleep=r2:0.25"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path)
    gateway.start()
    yield gateway
    gateway.stop()


def test_an_arm_whose_server_died_is_answered_by_stable_and_comes_back(gateway: Gateway) -> None:
    with running_upstreams("r1", "r2") as upstreams:
        gateway.publish(deployment(upstreams, {"r1": 0, "r2": 100}))
        assert gateway.ask_for("u0").release == "r2"
        upstreams["r2"].kill()
        for number in range(30):
            for method in ("GET", "POST"):
                answer = gateway.ask_for(
                    f"u{number}", method=method, body=b"{}" if method == "POST" else None
                )
                assert (answer.status, answer.release, answer.arm) == (200, "r1", "r2")
        upstreams["r2"].start()
        wait_until(lambda: gateway.ask_for("u0").release == "r2", "the arm is back", timeout_s=6)


def test_an_arm_without_any_server_is_answered_by_stable_at_once(gateway: Gateway) -> None:
    with running_upstreams("r1") as upstreams:
        route = deployment({"r1": upstreams["r1"], "r2": upstreams["r1"]}, {"r1": 0, "r2": 100})
        without = replace(route.arms[1], endpoints=())
        gateway.publish(replace(route, arms=(route.arms[0], without)))
        answer = gateway.ask_for("u1")
        assert (answer.status, answer.release, answer.arm) == (200, "r1", "r2")


def test_a_frozen_server_is_left_within_half_a_second_and_then_not_asked(gateway: Gateway) -> None:
    with running_upstreams("r1", "r2") as upstreams:
        gateway.publish(deployment(upstreams, {"r1": 0, "r2": 100}))
        assert gateway.ask_for("u0").release == "r2"
        upstreams["r2"].signal(signal.SIGSTOP)
        answers = [gateway.ask_for(f"u{number}") for number in range(8)]
        assert {(answer.status, answer.release, answer.arm) for answer in answers} == {(200, "r1", "r2")}
        frozen, ejected = ([answer.took_ms for answer in each] for each in (answers[:4], answers[4:]))
        assert median(frozen) < 500
        assert median(ejected) < 100
        assert max(frozen) < 5 * 500  # on a machine under load
        assert max(ejected) < 5 * 100
        upstreams["r2"].signal(signal.SIGCONT)
        wait_until(lambda: gateway.ask_for("u0").release == "r2", "the arm is back", timeout_s=6)


def test_one_bad_server_of_two_does_not_send_the_arm_to_stable(gateway: Gateway) -> None:
    with running_upstreams("r1", "r2", "r2b") as upstreams:
        route = deployment({name: upstreams[name] for name in ("r1", "r2")}, {"r1": 0, "r2": 100})
        both = tuple(upstreams[name].endpoint for name in ("r2", "r2b"))
        arm = replace(route.arms[1], endpoints=both)
        gateway.publish(replace(route, arms=(route.arms[0], arm)))
        upstreams["r2"].kill()
        for number in range(40):  # until it is ejected a retry may go to stable
            gateway.ask_for(f"u{number}")
        assert {gateway.ask_for(f"u{number}").release for number in range(40)} == {"r2b"}


def test_what_is_beyond_a_releases_limits_is_refused_at_once_and_harms_no_other(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow release holds so many requests and no more. Envoy retries none of these, nor asks stable."""
    monkeypatch.setattr(gateway_clusters, "MAX_CONNECTIONS", 8)
    monkeypatch.setattr(gateway_clusters, "MAX_PENDING", 4)
    with running_upstreams("r1", "r2") as upstreams:
        routes = gateway.publish(deployment(upstreams, {"r1": 50, "r2": 50}))
        counts, envoy = ArmCounts(), EnvoyAdmin(gateway.ports.admin_port)
        gateway.opened.append(envoy)
        counts.follow(routes)
        counts.add(envoy.scrape())
        arms = gateway.split([f"u{number}" for number in range(60)])
        slow = [user for user, release in arms.items() if release == "r2"][:16]
        quick = [user for user, release in arms.items() if release == "r1"][:4]
        with ThreadPoolExecutor(16) as shoppers:
            held = shoppers.map(lambda user: gateway.ask(LATE.format(user)), slow)
            assert [gateway.ask_for(user).release for user in quick] == ["r1"] * 4
            answers = list(held)
        refused = [answer for answer in answers if answer.status != 200]
        assert 4 <= len(refused) < 16  # 8 are held and 4 wait; while connections are made, fewer are
        assert {(answer.status, answer.headers["retry-after"]) for answer in refused} == {(503, "1")}
        assert median(answer.took_ms for answer in refused) < 200  # they did not wait for the slow release
        assert gateway.ask_for(slow[0]).release == "r2"
        counts.add(envoy.scrape())
        canary = next(arm for arm in counts.reports() if arm.release_id == "r2")
        assert canary.errors_5xx_total == len(refused)  # what a rollout is judged by


def test_a_slow_answer_counts_when_stable_has_none(gateway: Gateway) -> None:
    with running_upstreams("r1") as upstreams:
        gateway.publish(deployment(upstreams, {"r1": 100}))
        slow = gateway.ask_for("u1&sleep=0.9")
        assert slow.status == 200
        assert 850 < slow.took_ms < 1700  # it is asked once


def test_stable_serves_again_at_once_after_its_only_server_came_back(gateway: Gateway) -> None:
    with running_upstreams("r1") as upstreams:
        gateway.publish(deployment(upstreams, {"r1": 100}))
        assert gateway.ask_for("u1").status == 200
        upstreams["r1"].kill()
        for number in range(20):
            assert_is_problem(gateway.ask_for(f"u{number}"), 503, "no_server")
        upstreams["r1"].start()
        wait_until(lambda: gateway.ask_for("u1").status == 200, "served again", timeout_s=0.5)


def test_a_deployment_without_servers_says_503_and_when_to_come_back(gateway: Gateway) -> None:
    with running_upstreams("r1") as upstreams:
        route = deployment(upstreams, {"r1": 100})
        gateway.publish(replace(route, arms=(), stable=None))
        answer = gateway.ask_for("u1")
        assert_is_problem(answer, 503, "no_server")
        assert answer.headers["retry-after"] == "1"


def test_refusals_are_problem_json(gateway: Gateway) -> None:
    with running_upstreams("r1") as upstreams:
        gateway.publish(deployment(upstreams, {"r1": 100}))
        assert_is_problem(gateway.ask("/shop/nothing/recommendations?user=u1"), 404, "unknown_deployment")
        assert_is_problem(gateway.ask("/"), 404, "unknown_deployment")
        assert_is_problem(gateway.ask_for("u1&sleep=9"), 504, "timed_out")
        too_large = gateway.ask_for("u1", method="POST", body=b"x" * (1024 * 1024 + 1))
        assert_is_problem(too_large, 413, "body_too_large")


def test_errors_of_a_model_server_pass_unchanged_and_are_not_retried(gateway: Gateway) -> None:
    with running_upstreams("r1", "r2") as upstreams:
        gateway.publish(deployment(upstreams, {"r1": 0, "r2": 100}))
        for status in (400, 422, 429, 500):
            answer = gateway.ask_for(f"u1&fail=r2:{status}")
            assert (answer.status, answer.release) == (status, "r2")
        assert gateway.ask_for("u1&fail=r2:503").release == "r1"


def test_a_server_that_has_too_much_to_do_is_neither_ejected_nor_left_for_stable(gateway: Gateway) -> None:
    with running_upstreams("r1", "r2") as upstreams:
        gateway.publish(deployment(upstreams, {"r1": 0, "r2": 100}))
        refused = [gateway.ask_for(f"u{number}&fail=r2:429") for number in range(40)]
        assert {(answer.status, answer.release) for answer in refused} == {(429, "r2")}
        assert gateway.ask_for("u1").release == "r2"
        assert upstreams["r1"].seen()["requests"] == 0
        assert upstreams["r2"].seen()["requests"] == 41, "each was asked once"


def test_a_batch_gets_more_time_than_a_single_list(gateway: Gateway) -> None:
    with running_upstreams("r1", "r2") as upstreams:
        gateway.publish(deployment(upstreams, {"r1": 0, "r2": 100}))
        batch = gateway.ask("/shop/home/recommendations/batch?sleep=r2:0.6", method="POST", body=b"{}")
        assert (batch.status, batch.release) == (200, "r2")


def test_no_request_fails_while_routes_and_servers_change(gateway: Gateway) -> None:
    with running_upstreams("r1", "r2", "r1b", "r2b") as up:
        moved = {"r1": up["r1b"], "r2": up["r2b"]}
        gateway.publish(deployment(up, {"r1": 100, "r2": 0}))
        statuses = ask_meanwhile(gateway, lambda: change_everything(gateway, up, moved))
        assert len(statuses) > 300
        assert set(statuses) == {200}


def change_everything(gateway: Gateway, here: dict, there: dict) -> None:
    for turn in range(40):
        servers = (here, there)[turn % 2]
        for weights, stable in (
            ({"r1": 90, "r2": 10}, "r1"),
            ({"r1": 0, "r2": 100}, "r1"),
            ({"r1": 0, "r2": 100}, "r2"),
            ({"r1": 100, "r2": 0}, "r1"),
        ):
            gateway.publish(deployment(servers, weights, stable=stable, salt=f"s{turn}"))


def ask_meanwhile(gateway: Gateway, act: Callable[[], None]) -> list[int]:
    statuses: list[int] = []
    is_over = threading.Event()

    def ask(method: str) -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            body = b"{}" if method == "POST" else None
            statuses.append(gateway.ask_for(f"{method}{number}", method=method, body=body).status)

    askers = [threading.Thread(target=ask, args=(method,)) for method in ("GET", "POST")]
    for asker in askers:
        asker.start()
    act()
    is_over.set()
    for asker in askers:
        asker.join()
    return statuses


def assert_is_problem(answer: Answer, status: int, code: str) -> None:
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json["status"], answer.json["code"]) == (status, code)
    assert answer.json["detail"] == answer.json["error"] != ""
    assert answer.json["request_id"] == answer.headers["x-request-id"]


def test_routes_to_servers_known_by_name_wait_until_the_name_is_found(gateway: Gateway) -> None:
    """Envoy answers 503 for a cluster whose name it still looks up; here every answer is the new one."""
    envoy, asked = EnvoyAdmin(gateway.ports.admin_port), []

    def settle(version: str) -> None:
        asked.append(version)
        assert not envoy.has_clusters("another")
        wait_until(lambda: envoy.has_clusters(version), "Envoy uses the clusters")

    gateway.folder._settle = settle
    with running_upstreams("r1", "r2") as upstreams:
        route = deployment(upstreams, {"r1": 100, "r2": 0})
        gateway.publish(route)
        assert asked == []  # addresses are not looked up
        port = upstreams["r2"].endpoint.rpartition(":")[2]
        arms = (replace(route.arms[0], weight_pct=0), replace(route.arms[1], weight_pct=100))
        named = replace(arms[1], endpoints=(f"localhost:{port}",))
        gateway.publish(replace(route, arms=(arms[0], named)))
        assert [(each.status, each.release) for each in map(gateway.ask_for, ["u1", "u2"])] == [
            (200, "r2")
        ] * 2
        assert len(asked) == 1
        third = Arm("r3", 3, 0, "canary", named.endpoints)
        gateway.publish(replace(route, arms=(arms[0], named, third)))  # nobody is led to the new name yet
        assert len(asked) == 1
        off = replace(named, weight_pct=0)
        gateway.publish(replace(route, arms=(arms[0], off, replace(third, weight_pct=100))))
        assert len(asked) == 2
        gateway.publish(replace(route, arms=(arms[0], named, third)))  # back, to a name found long ago
        assert len(asked) == 2
    envoy.close()
