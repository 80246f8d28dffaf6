"""What agents are told, how cheaply, and who may ask."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from deployments_app.gateway_tokens import environment_token
from deployments_app.gateway_wire import Shadow, routes_from_json
from deployments_app.models import Environment, Gateway, ServingKey, Workload
from deployments_app.plan_templates import TEMPLATES
from deployments_app.routing import routes_for_gateway
from deployments_app.selectors import live_gateways
from deployments_app.services.keys import issue_serving_key, revoke_serving_key
from deployments_app.services.rollbacks import roll_back
from deployments_app.services.rollouts import promote_now, step_now
from deployments_app.tests.factories import make_world
from portal.core.errors import InvalidInput, NotFound, NotPermitted

pytestmark = pytest.mark.django_db
TOKEN = "agents-show-this"


@pytest.fixture
def agent(settings):
    settings.AGENT_TOKEN = TOKEN
    return Client(HTTP_AUTHORIZATION=f"Bearer {TOKEN}")


def arms(world):
    route = next(each for each in routes_for_gateway().deployments if each.id == world.deployment.pk)
    return {arm.number: (arm.weight_pct, arm.variant, arm.endpoints) for arm in route.arms}


def test_a_placement_without_a_release_has_no_arms(world):
    route = routes_for_gateway().deployments[0]
    assert (route.arms, route.stable, route.is_open) == ((), None, True)


def test_the_first_release_gets_everybody_as_soon_as_it_is_ready(world):
    rollout = world.start()
    assert arms(world) == {}
    world.advance(rollout)
    assert arms(world) == {1: (100, "canary", ("127.0.0.1:20001",))}
    world.advance(rollout)
    assert arms(world) == {1: (100, "stable", ("127.0.0.1:20001",))}


def test_a_canary_takes_its_share_and_stable_the_rest(world):
    world.make_live()
    world.advance(world.start())
    assert arms(world) == {
        1: (90, "stable", ("127.0.0.1:20001",)),
        2: (10, "canary", ("127.0.0.1:20002",)),
    }


def test_a_shadow_gets_copies_and_a_preview_address_until_it_is_seen(world):
    world.make_live()
    rollout = world.advance(world.start(plan=TEMPLATES["shadow_first"].plan.to_json()))
    route = routes_for_gateway().deployments[0]
    assert (route.preview, route.shadow) == (rollout.release_id, Shadow(rollout.pk, rollout.release_id, 25))
    assert {arm.number: arm.weight_pct for arm in route.arms} == {1: 100, 2: 0}
    step_now(world.operator, world.shop, rollout)
    route = routes_for_gateway().deployments[0]
    assert (route.preview, route.shadow) == (rollout.release_id, None)
    promote_now(world.operator, world.shop, rollout)
    assert routes_for_gateway().deployments[0].preview is None


def test_an_agent_asks_for_shoppers_to_compare_a_shadow_by(world, agent):
    world.make_live()
    rollout = world.advance(world.start(plan=TEMPLATES["shadow_first"].plan.to_json()))

    def shoppers(name):
        return agent.get("/gateway/v1/shoppers", {"rollout": name}).json()["shoppers"]

    assert len(shoppers(rollout.pk)) == len(set(shoppers(rollout.pk))) > 10
    assert shoppers("rol_unknown") == shoppers("") == shoppers("\0") == []
    promote_now(world.operator, world.shop, rollout)
    assert shoppers(rollout.pk) == []


def test_servers_being_warmed_are_known_with_weight_0(world):
    world.make_live()
    world.make_live()
    assert arms(world)[1] == (0, "canary", ("127.0.0.1:20001",))


def test_a_live_release_without_servers_stays_in_the_routes(world):
    live = world.make_live()
    Workload.objects.filter(release=live).delete()
    assert arms(world) == {1: (100, "stable", ())}


def test_the_version_changes_with_what_is_served_and_with_nothing_else(world):
    world.make_live()
    before = routes_for_gateway().version
    Workload.objects.update(observed_at=timezone.now(), restarts=3, reason="")
    assert routes_for_gateway().version == before
    world.advance(world.start())
    assert routes_for_gateway().version != before


def test_reading_the_routes_takes_five_queries_however_much_there_is(world, django_assert_num_queries):
    for each in (world, make_world(), make_world()):
        each.make_live()
        each.make_live()
        issue_serving_key(each.operator, each.shop, each.deployment, "site")
    with django_assert_num_queries(5):
        routes = routes_for_gateway()
    assert len(routes.deployments) == 3


def test_only_environments_of_that_backend_are_told(world):
    world.make_live()
    assert routes_for_gateway("kubernetes").deployments == ()


def test_keys_are_public_halves_of_those_that_work(world):
    key, token = issue_serving_key(world.operator, world.shop, world.deployment, "site")
    old, _ = issue_serving_key(world.operator, world.shop, world.deployment, "old site")
    gone, _ = issue_serving_key(world.operator, world.shop, world.deployment, "former partner")
    ServingKey.objects.filter(pk=old.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    revoke_serving_key(world.operator, world.shop, world.deployment, gone.pk)
    route = routes_for_gateway().deployments[0]
    assert [each["kid"] for each in route.keys] == [key.kid]
    assert not {"d", "k"} & route.keys[0].keys()
    assert token not in str(ServingKey.objects.values())


def test_keys_are_for_operators_and_have_an_end_and_a_name(world):
    for actor in (world.viewer, world.analyst):
        with pytest.raises(NotPermitted):
            issue_serving_key(actor, world.shop, world.deployment, "site")
    for wrong in ({"days": 0}, {"days": 366}, {"name": "  "}):
        with pytest.raises(InvalidInput):
            issue_serving_key(world.operator, world.shop, world.deployment, **{"name": "site", **wrong})
    with pytest.raises(NotFound):
        revoke_serving_key(world.operator, world.shop, world.deployment, "key_unknown")


def test_a_rollback_is_watched_for_half_a_minute(world):
    world.make_live()
    world.make_live()
    received = timezone.now()
    rollout = roll_back(world.operator, world.shop, world.deployment, received_at=received)
    watch = routes_for_gateway().deployments[0].watch
    assert watch.rollout_id == rollout.pk
    assert watch.received_at == received.isoformat()
    assert (watch.from_release, watch.to_release) == (rollout.from_release_id, rollout.release_id)
    type(rollout).objects.filter(pk=rollout.pk).update(received_at=received - timedelta(seconds=31))
    assert routes_for_gateway().deployments[0].watch is None


def test_an_agent_gets_routes_it_can_read_and_304_when_it_has_them(world, agent):
    world.make_live()
    answer = agent.get("/gateway/v1/routes")
    routes, now = routes_from_json(answer.json())
    assert routes == routes_for_gateway()
    assert abs((now - timezone.now()).total_seconds()) < 5
    again = agent.get("/gateway/v1/routes", headers={"If-None-Match": answer["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("given", ["", "Bearer ", "Bearer wrong", TOKEN, f"Basic {TOKEN}", "Bearer ümlaut"])
def test_nobody_else_gets_them(world, settings, given):
    settings.AGENT_TOKEN = TOKEN
    client = Client(HTTP_AUTHORIZATION=given)
    for answer in (
        client.get("/gateway/v1/routes"),
        client.post("/gateway/v1/report", b"{}", "application/json"),
    ):
        assert answer.status_code == 401
        assert answer["WWW-Authenticate"]
        assert answer.json()["code"] == "not_authenticated"


def test_without_an_agent_token_nobody_gets_them(world, settings):
    settings.AGENT_TOKEN = ""
    assert Client(HTTP_AUTHORIZATION="Bearer ").get("/gateway/v1/routes").status_code == 401


def report(**changes):
    return {
        "agent_id": "gw-1",
        "environment": "local",
        "at": timezone.now().isoformat(),
        "counting_since": "agent_1",
        "envoy_version_running": "abc",
        "envoy_started_at": timezone.now().isoformat(),
        "arms": [],
        "watches": [],
        **changes,
    }


def test_a_report_says_what_a_gateway_runs(world, agent):
    for version in ("abc", "def"):
        answer = agent.post(
            "/gateway/v1/report", report(envoy_version_running=version), content_type="application/json"
        )
        assert answer.status_code == 204
    gateway = Gateway.objects.get()
    assert (gateway.agent_id, gateway.running_version) == ("gw-1", "def")


def test_a_report_carries_what_was_measured(world, agent):
    world.make_live()
    world.make_live()
    rollout = roll_back(world.operator, world.shop, world.deployment)
    watch = {
        "rollout_id": rollout.pk,
        "last_other_answer_ms": 38.2,
        "routes_running_ms": 61.0,
        "probes": 40,
        "errors": 0,
    }
    agent.post("/gateway/v1/report", report(watches=[watch]), content_type="application/json")
    assert world.advance(rollout).status == "succeeded"
    assert rollout.measured["routes_running_ms"] == 61.0


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"agent_id": "x"}', "[" * 100_000])
def test_a_report_that_cannot_be_read_is_refused_in_words(world, agent, body):
    answer = agent.post("/gateway/v1/report", body, content_type="application/json")
    assert answer.status_code == 400
    assert "report cannot be read" in answer.json()["detail"]


@pytest.fixture
def in_cluster(world):
    """Move the world's environment into a cluster; returns the agent of its gateways."""
    Environment.objects.filter(pk=world.environment.pk).update(backend="kubernetes", namespace="prod")
    world.environment.refresh_from_db()
    return Client(HTTP_AUTHORIZATION=f"Bearer {environment_token(world.environment.pk)}")


def test_an_environments_agent_gets_its_own_routes_and_no_others(world, in_cluster, settings):
    own = world.environment.pk
    answer = in_cluster.get("/gateway/v1/routes", {"backend": own})
    assert [each["id"] for each in answer.json()["deployments"]] == [world.deployment.pk]
    assert answer.json()["environment"] == own
    for other in ("local", "kubernetes", f"{own}x"):
        assert in_cluster.get("/gateway/v1/routes", {"backend": other}).status_code == 403
        assert routes_for_gateway(other).deployments == ()
    forged = Client(HTTP_AUTHORIZATION=f"Bearer {own}x.{environment_token(own).partition('.')[2]}")
    assert forged.get("/gateway/v1/routes", {"backend": f"{own}x"}).status_code == 401
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another" * 9
    assert in_cluster.get("/gateway/v1/routes", {"backend": own}).status_code == 200


def test_an_environments_agent_speaks_of_its_own_placements_only(world, in_cluster):
    own = world.environment.pk
    other = make_world()
    arm = {
        "deployment_id": world.deployment.pk, "release_id": "rel_1", "requests_total": 1,
        "errors_5xx_total": 0, "retried_total": 0, "active": 0, "latency_ms": [],
    }  # fmt: skip
    cases = [
        (report(environment=own, arms=[arm]), 204),
        (report(environment=own, arms=[{**arm, "deployment_id": other.deployment.pk}]), 403),
        (report(environment="local"), 403),
    ]
    for body, status in cases:
        answer = in_cluster.post("/gateway/v1/report", body, content_type="application/json")
        assert answer.status_code == status, answer.content
    assert [each.agent_id for each in live_gateways(world.environment)] == ["gw-1"]
    assert not live_gateways(other.environment)
