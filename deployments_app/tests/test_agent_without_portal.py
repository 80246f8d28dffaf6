"""A gateway that starts while the portal is down serves by the last routes that are kept for it."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deployments_app.agent_config import read_config
from deployments_app.agent_portal import read_kept
from deployments_app.backends.base import GatewayStatus
from deployments_app.gateway import Routes, routes_to_json
from deployments_app.models import Environment
from deployments_app.services import cluster_gateways
from deployments_app.services.cluster_gateways import gateway_spec, reconcile_environment
from deployments_app.tests.gateway_rig import Gateway, deployment, running_upstreams, wait_until
from deployments_app.tests.portal_stand_in import PortalStandIn
from deployments_app.tests.test_agent import running_agent
from deployments_app.tests.told_backend import ToldBackend


@pytest.fixture
def upstreams():
    with running_upstreams("r1", "r2") as running:
        yield running


@pytest.fixture
def portal() -> Iterator[PortalStandIn]:
    """Down, until a test starts it."""
    portal = PortalStandIn()
    yield portal
    portal.stop()


def is_ready(gateway: Gateway) -> bool:
    """As the readiness of a gateway's pod asks."""
    return (gateway.path / "fetched").exists()


def keep(path: Path, *deployments) -> Path:
    routes = Routes.of("env_1", deployments)
    path.write_text(json.dumps(routes_to_json(routes, datetime(1970, 1, 1, tzinfo=UTC))))
    return path


def test_after_a_restart_of_everything_the_files_of_the_folder_serve(gateway, portal, upstreams):
    portal.start()
    portal.publish(deployment(upstreams, {"r1": 0, "r2": 100}))
    with running_agent(gateway, portal):
        portal.await_running(portal.routes)
    portal.stop()
    gateway.stop()
    with running_agent(gateway, portal):
        wait_until(lambda: gateway.ask_for("u1").release == "r2", "the new Envoy serves")


def test_a_new_gateway_begins_with_the_kept_routes_and_goes_on_with_the_portals(
    gateway, portal, upstreams, tmp_path
):
    kept = keep(tmp_path / "routes.json", deployment(upstreams, {"r1": 100, "r2": 0}))
    with running_agent(gateway, portal, kept):
        wait_until(lambda: is_ready(gateway), "it has routes")
        wait_until(lambda: gateway.ask_for("u1").release == "r1", "it serves")
        portal.publish(deployment(upstreams, {"r1": 0, "r2": 100}))
        portal.start()
        portal.await_running(portal.routes)
        assert gateway.ask_for("u1").release == "r2"
        portal.stop()
        keep(kept, deployment(upstreams, {"r1": 100, "r2": 0}))
    with running_agent(gateway, portal, kept):  # the pod's agent starts anew: what it had is newer
        wait_until(lambda: gateway.ask_for("u1").release == "r2", "it serves")


def test_while_the_portal_answers_nothing_kept_counts(gateway, portal, upstreams, tmp_path):
    kept = keep(tmp_path / "routes.json", deployment(upstreams, {"r1": 100, "r2": 0}))
    portal.publish(deployment(upstreams, {"r1": 0, "r2": 100}))
    portal.start()
    with running_agent(gateway, portal, kept):
        portal.await_running(portal.routes)
        assert {gateway.ask_for(f"u{number}").release for number in range(20)} == {"r2"}


@pytest.mark.parametrize("content", ["", "{}", "no routes", None])
def test_where_nothing_is_kept_a_new_gateway_is_not_ready(gateway, portal, tmp_path, content):
    kept = tmp_path / "routes.json"
    if content is not None:
        kept.write_text(content)
    assert read_kept(kept) is None
    assert read_kept(keep(tmp_path / "empty.json")) is None
    with running_agent(gateway, portal, kept) as agent:
        wait_until(lambda: agent._state.problem, "it has asked the portal")
        time.sleep(0.3)
        assert not is_ready(gateway)


def test_an_agent_is_told_where_routes_are_kept():
    plain = {
        "PORTAL_URL": "http://portal",
        "AGENT_TOKEN": "t",
        "GATEWAY_URL": "http://g",
        "GATEWAY_ADMIN_URL": "http://a:1",
    }
    assert read_config(plain.get, Path("/x")).kept_routes is None
    named = {**plain, "GATEWAY_KEPT_ROUTES": "/kept/routes.json"}
    assert read_config(named.get, Path("/x")).kept_routes == Path("/kept/routes.json")


class GatewayBackend(ToldBackend):
    """Notes what its gateways are told."""

    specs: list = []

    def __init__(self, namespace=""):
        super().__init__()

    def apply_gateway(self, spec):
        self.specs.append(spec)

    def remove_gateway(self, key):
        raise AssertionError

    def observe_gateway(self, key):
        return GatewayStatus(desired=1, ready=1, exists=True)


@pytest.fixture
def in_cluster(world, settings):
    world.make_live()
    settings.DEPLOYMENT_BACKENDS["kubernetes"] = f"{__name__}.GatewayBackend"
    Environment.objects.update(backend="kubernetes", namespace="aisle")
    world.environment.refresh_from_db()
    GatewayBackend.specs.clear()
    return world


def test_the_present_routes_are_kept_in_the_cluster_and_only_news_is_written(in_cluster, tmp_path):
    world = in_cluster
    reconcile_environment(world.environment.pk)
    kept = tmp_path / "routes.json"
    kept.write_text(GatewayBackend.specs[-1].routes)
    home = read_kept(kept).deployments[0]
    assert (home.slug, home.stable) == ("home", world.deployment.stable_id)
    assert gateway_spec(world.environment) == GatewayBackend.specs[-1]
    world.make_live(world.version("item_knn"))
    kept.write_text(gateway_spec(world.environment).routes)
    assert read_kept(kept).deployments[0].stable == world.deployment.stable_id != home.stable


def test_routes_too_large_to_keep_leave_the_gateways_as_they_are(in_cluster, monkeypatch, caplog):
    whole = gateway_spec(in_cluster.environment)
    monkeypatch.setattr(cluster_gateways, "KEPT_MAX_BYTES", len(whole.routes) - 1)
    assert gateway_spec(in_cluster.environment) == replace(whole, routes="")
    assert "too large to be kept" in caplog.text
