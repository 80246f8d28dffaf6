"""Who gets which arm, through a real Envoy."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from deployments_app.gateway import Shadow
from deployments_app.services.traffic import new_salt
from deployments_app.tests.envoy_hash import canaries_by_hash
from deployments_app.tests.gateway_rig import (
    PROBE_MARK,
    Gateway,
    Upstream,
    deployment,
    running_upstreams,
    wait_until,
)

USERS = [f"user-{number}" for number in range(800)]
# As shops name them: short, as long as a UUID, and not ASCII, which is percent-encoded in a URL.
SHOPPERS = [
    *(f"shopper-{number}" for number in range(6_000)),
    *(f"{number:08x}-6c2e-4b11-9d3f-{number * 2_654_435_761 % 2**48:012x}" for number in range(2_000)),
    *(quote(f"Zoë {number} 李") for number in range(2_000)),
]


@pytest.fixture(scope="module")
def upstreams() -> Iterator[dict[str, Upstream]]:
    with running_upstreams("r1", "r2") as running:
        yield running


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("split"))
    gateway.start()
    yield gateway
    gateway.stop()


def canaries(gateway: Gateway, users: list[str] = USERS) -> set[str]:
    return {user for user, release in gateway.split(users).items() if release == "r2"}


def test_a_shopper_stays_in_one_arm_and_a_ramp_only_adds_canaries(
    gateway: Gateway, upstreams: dict[str, Upstream]
) -> None:
    gateway.publish(deployment(upstreams, {"r1": 90, "r2": 10}))
    ten = canaries(gateway)
    assert canaries(gateway) == ten
    assert ten == canaries_by_hash(USERS, "s1", 10)  # test_split_by_hash stands on this
    gateway.publish(deployment(upstreams, {"r1": 70, "r2": 30}))
    thirty = canaries(gateway)
    assert ten < thirty
    assert thirty == canaries_by_hash(USERS, "s1", 30)
    gateway.publish(deployment(upstreams, {"r1": 0, "r2": 100}))
    assert canaries(gateway) == set(USERS)
    # 800 users: four standard deviations are 4.3 points at 10 % and 6.5 points at 30 %
    assert len(ten) / len(USERS) == pytest.approx(0.10, abs=0.043)
    assert len(thirty) / len(USERS) == pytest.approx(0.30, abs=0.065)


def test_of_10_000_shoppers_nobody_leaves_the_canary_as_it_grows(
    gateway: Gateway, upstreams: dict[str, Upstream]
) -> None:
    salt, before = new_salt(), set[str]()
    for share_pct, five_deviations in ((10, 0.015), (50, 0.025)):
        gateway.publish(deployment(upstreams, {"r1": 100 - share_pct, "r2": share_pct}, salt=salt))
        now = canaries(gateway, SHOPPERS)
        assert before < now, f"with the salt {salt}"
        assert now == canaries_by_hash(SHOPPERS, salt, share_pct), f"with the salt {salt}"
        assert len(now) / len(SHOPPERS) == pytest.approx(share_pct / 100, abs=five_deviations)
        before = now


def test_another_salt_picks_other_canaries(gateway: Gateway, upstreams: dict[str, Upstream]) -> None:
    gateway.publish(deployment(upstreams, {"r1": 70, "r2": 30}, salt="one"))
    one = canaries(gateway)
    gateway.publish(deployment(upstreams, {"r1": 70, "r2": 30}, salt="two"))
    two = canaries(gateway)
    by_chance = len(one) * len(two) / len(USERS)
    assert len(one & two) == pytest.approx(by_chance, abs=0.4 * by_chance)


def test_every_way_of_asking_follows_the_same_split(gateway: Gateway, upstreams: dict[str, Upstream]) -> None:
    gateway.publish(deployment(upstreams, {"r1": 50, "r2": 50}))
    users = [*USERS[:60], "a%20b", "%C3%A4", "x-y_z.~"]
    expected = gateway.split(users)
    assert set(expected.values()) == {"r1", "r2"}
    for user, release in expected.items():
        for path in (
            f"/shop/home/recommendations?user={user}",
            f"/shop/home/recommendations?user={user}&k=3&seen=user=other",
            f"/shop/home/items/a%2Fb/similar?k=3&user={user}&user=other",
        ):
            assert gateway.ask(path).release == release, path
        posted = gateway.ask_for(user, method="POST", body=b'{"exclude":["i9"]}')
        assert (posted.release, posted.json["body"]) == (release, 18)
        by_header = gateway.ask("/shop/home/v2/models/m/infer", headers={"X-User-Id": user})
        assert by_header.release == release


def test_the_arm_follows_the_spelling_of_a_user(gateway: Gateway, upstreams: dict[str, Upstream]) -> None:
    """What docs/reference/serving.md warns of, and why X-User-Id is spelled as the URL is."""
    gateway.publish(deployment(upstreams, {"r1": 50, "r2": 50}))
    by_spelling = []
    for space in ("+", "%20"):
        users = [f"{number}{space}%C3%A4" for number in range(40)]
        found = canaries(gateway, users)
        assert found == canaries_by_hash(users, "s1", 50)
        for user in users:
            named = gateway.ask("/shop/home/v2/models/m/infer", headers={"X-User-Id": user})
            assert (named.release == "r2") == (user in found), user
        by_spelling.append({user.replace("+", "%20") for user in found})
    assert by_spelling[0] != by_spelling[1]


def test_a_session_is_as_sticky_as_a_user(gateway: Gateway, upstreams: dict[str, Upstream]) -> None:
    gateway.publish(deployment(upstreams, {"r1": 50, "r2": 50}))
    for number in range(20):
        path = f"/shop/home/session?session=s{number}"
        assert len({gateway.ask(path, method="POST", body=b"{}").release for _ in range(5)}) == 1


def test_whoever_says_no_name_goes_to_an_arm_at_random(
    gateway: Gateway, upstreams: dict[str, Upstream]
) -> None:
    gateway.publish(deployment(upstreams, {"r1": 50, "r2": 50}))
    for path in ("/shop/home/items/i7/similar?k=3", "/shop/home/v2/models/m/infer", "/shop/home/trending"):
        assert {gateway.ask(path).release for _ in range(40)} == {"r1", "r2"}, path


def test_a_model_server_learns_arm_variant_and_deployment_from_the_gateway_only(
    gateway: Gateway, upstreams: dict[str, Upstream]
) -> None:
    gateway.publish(deployment(upstreams, {"r1": 0, "r2": 100}))
    forged = {
        "X-Aisle-Arm": "r9",
        "x-aisle-variant": "mine",
        "x-aisle-deployment": "mine",
        "x-aisle-probe": "1",
        "x-aisle-served-by": "me",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "authorization": "Bearer secret",
        "cookie": "session=secret",
    }
    headers = gateway.ask_for("u1", headers=forged).json["headers"]
    assert {name: value for name, value in headers.items() if name.startswith(("x-aisle", "x-envoy"))} == {
        "x-aisle-arm": "r2",
        "x-aisle-variant": "canary",
        "x-aisle-deployment": "dep_home",
    }
    assert not headers.keys() & {"authorization", "cookie"}


def test_two_deployments_of_a_shop_do_not_meet(gateway: Gateway, upstreams: dict[str, Upstream]) -> None:
    gateway.publish(
        deployment(upstreams, {"r1": 100}),
        deployment({"r2": upstreams["r2"]}, {"r2": 100}, slug="cart", stable="r2"),
    )
    assert gateway.ask_for("u1").release == "r1"
    assert gateway.ask_for("u1", "cart").release == "r2"
    assert (
        gateway.ask("/shop/home/../cart/recommendations?user=u1").json["headers"]["x-aisle-deployment"]
        == "dep_cart"
    )


def test_a_broken_file_leaves_the_last_good_routes_in_force(
    gateway: Gateway, upstreams: dict[str, Upstream], tmp_path: Path
) -> None:
    routes = gateway.publish(deployment(upstreams, {"r1": 100, "r2": 0}))
    for broken in ("{ broken", '{"resources":[{"@type":"type.googleapis.com/nothing"}]}', ""):
        for kind in ("clusters", "keys", "routes"):
            gateway.write(kind, broken)
    assert set(gateway.split(USERS[:50]).values()) == {"r1"}
    assert gateway.running() == routes.version
    gateway.publish(deployment(upstreams, {"r1": 100, "r2": 0}, salt="s2"))
    gateway.publish(deployment(upstreams, {"r1": 0, "r2": 100}))
    assert set(gateway.split(USERS[:50]).values()) == {"r2"}


def test_a_shadow_answers_copies_that_nobody_sees(gateway: Gateway, upstreams: dict[str, Upstream]) -> None:
    shadow = Shadow("rol_1", "r2", 100)
    gateway.publish(deployment(upstreams, {"r1": 100, "r2": 0}, shadow=shadow, preview="r2"))
    before = upstreams["r2"].seen()["requests"]
    for number in range(40):
        asked = {"method": "POST", "body": b'{"exclude":[]}'} if number % 2 else {}
        assert gateway.ask_for(f"u{number}", **asked).release == "r1"
    wait_until(lambda: upstreams["r2"].seen()["requests"] == before + 40, "40 copies arrive")
    last = upstreams["r2"].seen()
    assert (last["headers"]["x-aisle-arm"], last["headers"]["x-aisle-variant"]) == ("r2", "shadow")
    assert "x-aisle-probe" not in last["headers"]
    for release in ("r1", "r2"):
        named = gateway.ask_for("u1", headers={"x-aisle-probe": PROBE_MARK, "x-aisle-release": release})
        assert (named.release, named.arm) == (release, release)
        assert named.json["headers"]["x-aisle-probe"] == "1"
        forged = gateway.ask_for("u1", headers={"x-aisle-probe": "guessed", "x-aisle-release": release})
        assert forged.release == "r1"
    # its own measurement, and the copies of two forgeries
    wait_until(lambda: upstreams["r2"].seen()["requests"] == before + 40 + 1 + 2, "nothing else arrives")
