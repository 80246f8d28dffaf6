"""What portal and agents say to each other is checked before anything is done with it."""

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from deployments_app.gateway import (
    Arm,
    ArmReport,
    DeploymentRoute,
    Pairs,
    Report,
    Routes,
    Shadow,
    Watch,
    WatchReport,
    WireError,
    build_files,
    report_from_json,
    report_to_json,
    routes_from_json,
    routes_to_json,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = {"kty": "OKP", "crv": "Ed25519", "x": "AAAA", "kid": "key_1"}
HOME = DeploymentRoute(
    id="dep_1",
    shop="shop",
    slug="home",
    salt="s1",
    arms=(
        Arm("rel_1", 1, 90, "stable", ("127.0.0.1:8001", "[::1]:8002")),
        Arm("rel_2", 2, 10, "canary", ()),
    ),
    stable="rel_1",
    keys=(KEY,),
    watch=Watch("rol_1", "2026-01-02T03:04:05Z", "rel_2", "rel_1"),
    preview="rel_2",
    shadow=Shadow("rol_2", "rel_2", 25),
)
ROUTES = Routes.of("production", (HOME,))


def written(routes: Routes = ROUTES) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(routes_to_json(routes, NOW)))
    return data


FIRST, SECOND = written()["deployments"][0]["arms"]


def test_routes_survive_the_way() -> None:
    assert routes_from_json(written()) == (ROUTES, NOW)


def test_members_of_a_newer_portal_are_passed_over() -> None:
    data = written()
    data["new"] = data["deployments"][0]["new"] = data["deployments"][0]["arms"][0]["new"] = 1
    assert routes_from_json(data)[0] == ROUTES


def test_routes_of_an_older_portal_are_taken() -> None:
    data = written()
    del data["deployments"][0]["preview"], data["deployments"][0]["shadow"]
    assert routes_from_json(data)[0].deployments == (replace(HOME, preview=None, shadow=None),)


def test_the_version_follows_the_content_not_its_order() -> None:
    cart = replace(HOME, id="dep_2", slug="cart", arms=(), stable=None)
    assert Routes.of("production", (HOME, cart)).version == Routes.of("production", (cart, HOME)).version
    assert Routes.of("production", (replace(HOME, salt="s2"),)).version != ROUTES.version
    assert Routes.of("staging", (HOME,)).version != ROUTES.version


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("version", None, "routes.version"),
        ("version", "a b", "routes.version"),
        ("now", "yesterday", "not a time"),
        ("now", "2026-01-01T00:00:00", "no offset"),
        ("deployments", {}, "not a list"),
        ("deployments.0", [], "not an object"),
        ("deployments.0.slug", "a/b", "slug"),
        ("deployments.0.shop", "", "shop"),
        ("deployments.0.salt", "\\1", "salt"),
        ("deployments.0.stable", "rel_9", "not one of the arms"),
        ("deployments.0.is_open", 0, "is_open"),
        ("deployments.0.arms.0.weight_pct", 91, "neither 100 nor 0"),
        ("deployments.0.arms.0.weight_pct", True, "weight_pct"),
        ("deployments.0.arms.0.weight_pct", 89.9, "weight_pct"),
        ("deployments.0.arms.0.weight_pct", -90, "between 0 and 100"),
        ("deployments.0.arms.0.variant", "other", "variant"),
        ("deployments.0.arms", [FIRST, SECOND, {**FIRST, "weight_pct": 0}], "release appears twice"),
        ("deployments.0.arms.0.endpoints", ["127.0.0.1"], "host:port"),
        ("deployments.0.arms.0.endpoints", ["127.0.0.1:99999"], "host:port"),
        ("deployments.0.arms.0.endpoints", ["a b:1"], "host:port"),
        ("deployments.0.keys", [{**KEY, "d": "secret"}], "private key"),
        ("deployments.0.keys", [{"kty": "oct", "k": "secret", "kid": "k"}], "private key"),
        ("deployments.0.keys", [{**KEY, "kty": "RSA"}], "kty"),
        ("deployments.0.keys", [KEY, KEY], "kid appears twice"),
        ("deployments.0.preview", "rel_9", "not one of the arms"),
        ("deployments.0.shadow.release_id", "rel_9", "not one of the arms"),
        ("deployments.0.shadow.release_id", None, "release_id"),
        ("deployments.0.shadow.mirror_pct", 0, "between 1 and 100"),
        ("deployments.0.shadow.rollout_id", "", "rollout_id"),
        ("deployments.0.watch.received_at", "now", "not a time"),
        ("deployments.0.watch.rollout_id", None, "rollout_id"),
    ],
)
def test_routes_that_are_wrong_are_refused_by_name(path: str, value: object, says: str) -> None:
    data: Any = written()
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = data
    for parent in parents:
        place = place[parent]
    place[last] = value
    with pytest.raises(WireError, match=says):
        routes_from_json(data)


def test_the_same_deployment_twice_is_refused() -> None:
    data = written()
    data["deployments"] *= 2
    with pytest.raises(WireError, match="twice"):
        routes_from_json(data)


REPORT = Report(
    agent_id="agent-1",
    environment="production",
    at="2026-01-02T03:04:05+00:00",
    counting_since="agent_01",
    envoy_version_running="v1",
    envoy_started_at=None,
    arms=(ArmReport("dep_1", "rel_1", 10, 1, 2, 0, ((1.0, 3), (2.0, 10))),),
    watches=(WatchReport("rol_1", None, 12.5, 31, 0),),
    pairs=(Pairs("rol_2", 10, 9, 0, 1, 4.5, 2.3, 90.0, 99.0, 40.0, -3.5, 12.0, 18.0),),
    problem="none",
)


def test_a_report_survives_the_way() -> None:
    assert report_from_json(json.loads(json.dumps(report_to_json(REPORT)))) == REPORT


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("agent_id", ""),
        ("at", "now"),
        ("envoy_version_running", 1),
        ("envoy_started_at", "then"),
        ("arms", None),
        ("arms", [{}]),
        ("watches", [1]),
        ("pairs", None),
        ("pairs", [{"rollout_id": "rol_2"}]),
        ("pairs", [{**asdict(Pairs("rol_2")), "asked": -1}]),
        ("pairs", [{**asdict(Pairs("rol_2")), "overlap": "much"}]),
        ("problem", 1),
    ],
)
def test_a_report_that_is_wrong_is_refused(name: str, value: object) -> None:
    data = json.loads(json.dumps(report_to_json(REPORT)))
    data[name] = value
    with pytest.raises(WireError):
        report_from_json(data)


@pytest.mark.parametrize("value", [-1, 1.5, True, 2**63, "1"])
def test_a_count_that_is_none_is_refused(value: object) -> None:
    data = json.loads(json.dumps(report_to_json(REPORT)))
    data["arms"][0]["requests_total"] = value
    with pytest.raises(WireError):
        report_from_json(data)


def test_a_rollback_changes_routes_only() -> None:
    """Clusters and keys keep their version, so Envoy has one small file to read."""
    live = replace(
        HOME,
        arms=(
            Arm("rel_1", 1, 0, "stable", ("127.0.0.1:8001",)),
            Arm("rel_2", 2, 100, "stable", ("127.0.0.1:8003",)),
        ),
        stable="rel_2",
    )
    back = replace(
        live,
        arms=(replace(live.arms[0], weight_pct=100), replace(live.arms[1], weight_pct=0)),
        stable="rel_1",
    )
    files = [
        build_files(Routes.of("e", (each,)), agent_key=KEY, probe_mark="m", lingering=lingering)
        for each, lingering in ((live, []), (back, []))
    ]
    names = [
        {cluster["name"] for cluster in json.loads(each["clusters"].content)["resources"]} for each in files
    ]
    wanted = json.dumps(json.loads(files[1]["routes"].content))
    used = {name for name in names[0] | names[1] if f'"{name}"' in wanted}
    assert used <= names[0]
    assert files[0]["keys"].version == files[1]["keys"].version
