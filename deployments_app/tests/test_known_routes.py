"""Routes handed out again are the present ones: whatever changes them is in the next answer."""

import time
from datetime import timedelta

import pytest
from django.utils import timezone

from deployments_app import known_routes as memory
from deployments_app import routing
from deployments_app.known_routes import known_routes
from deployments_app.models import Deployment, Environment, Rehearsal, Release, Rollout, ServingKey, Workload
from deployments_app.routing import routes_for_gateway
from deployments_app.services.keys import issue_serving_key, revoke_serving_key
from deployments_app.services.rollbacks import roll_back
from deployments_app.tests.factories import make_world
from portal.core.models import Shop

pytestmark = pytest.mark.django_db


@pytest.fixture
def live(world, monkeypatch):
    """Two releases, a key, and routes that are known."""
    monkeypatch.setattr(memory, "_known", {})
    world.make_live()
    world.make_live()
    issue_serving_key(world.operator, world.shop, world.deployment, "site")
    known_routes("local")
    return world


def test_unchanged_routes_take_one_query(live, django_assert_num_queries):
    with django_assert_num_queries(1):
        known_routes("local")
    Workload.objects.update(observed_at=timezone.now(), restarts=3)
    Deployment.objects.update(lease_until=timezone.now())
    with django_assert_num_queries(1):
        known_routes("local")


def rehearse(live):
    releases = Release.objects.order_by("number")
    row = Deployment.objects.get(pk=live.deployment.pk)
    Rehearsal.objects.create(
        shop=live.shop, deployment=row, received_at=timezone.now(),
        from_release=row.stable, to_release=releases[0],
    )  # fmt: skip


def begin_a_shadow(live):
    rollout = live.start()
    first = Release.objects.get(number=1)
    Rollout.objects.filter(pk=rollout.pk).update(release=first)
    Deployment.objects.update(canary=first, canary_mirror_pct=25)


def a_share_grows(live):
    Deployment.objects.update(canary=Release.objects.get(number=1), canary_weight_pct=10)
    known_routes("local")
    Deployment.objects.update(canary_weight_pct=50)


def a_rollback_is_told_of_again(live):
    back = roll_back(live.operator, live.shop, live.deployment)
    Rollout.objects.filter(pk=back.pk).update(status="succeeded", finished_at=timezone.now())
    known_routes("local")
    Rollout.objects.filter(pk=back.pk).update(received_at=timezone.now() - timedelta(seconds=10))


def a_shadow_ends(live):
    begin_a_shadow(live)
    assert known_routes("local").deployments[0].shadow is not None
    Rollout.objects.filter(finished_at=None).update(status="aborted")


CHANGES = {
    "a shop opens with a placement": lambda live: make_world(),
    "a placement comes": lambda live: Deployment.objects.create(
        shop=live.shop, environment=live.environment, slug="other", name="Other"
    ),
    "a shop is renamed": lambda live: Shop.objects.update(slug="another"),
    "an environment gets gateways of its own": lambda live: Environment.objects.update(namespace="own"),
    "the page is closed": lambda live: Deployment.objects.update(is_open=False),
    "the salt": lambda live: Deployment.objects.update(salt="fresh"),
    "everybody goes back": lambda live: roll_back(live.operator, live.shop, live.deployment),
    "the measuring is over": lambda live: Rollout.objects.update(
        received_at=timezone.now() - timedelta(hours=1)
    ),
    "a server has another port": lambda live: Workload.objects.update(endpoints=["127.0.0.1:29999"]),
    "servers are known by name": lambda live: Workload.objects.update(service="rel-1.here:8000"),
    "servers are about to go": lambda live: Workload.objects.update(is_wanted=False),
    "a key comes": lambda live: issue_serving_key(live.operator, live.shop, live.deployment, "app"),
    "a key is revoked": lambda live: revoke_serving_key(
        live.operator, live.shop, live.deployment, ServingKey.objects.get().pk
    ),
    "another release is stable": lambda live: Deployment.objects.update(stable=Release.objects.get(number=1)),
    "a share grows": a_share_grows,
    "a rollback's click is told of otherwise": a_rollback_is_told_of_again,
    "a rehearsal": rehearse,
    "a shadow": begin_a_shadow,
    "a shadow ends": a_shadow_ends,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_in_the_next_answer(live, change):
    before = known_routes("local")
    CHANGES[change](live)
    assert known_routes("local") == routes_for_gateway("local")
    assert known_routes("local") != before or change == "the measuring is over"


SHORT_S = 2.0  # long enough for a busy machine to look before it is over


def expire_soon(live, monkeypatch):
    ServingKey.objects.update(expires_at=timezone.now() + timedelta(seconds=SHORT_S))
    return lambda route: route.keys


def roll_back_and_measure_shortly(live, monkeypatch):
    for module in (memory, routing):
        monkeypatch.setattr(module, "WATCHED_FOR", timedelta(seconds=SHORT_S))
    roll_back(live.operator, live.shop, live.deployment)
    return lambda route: route.watch


def rehearse_shortly(live, monkeypatch):
    for module in (memory, routing):
        monkeypatch.setattr(module, "REHEARSED_FOR", timedelta(seconds=SHORT_S))
    rehearse(live)
    return lambda route: route.rehearsal


@pytest.mark.parametrize("begin", [expire_soon, roll_back_and_measure_shortly, rehearse_shortly])
def test_what_the_clock_alone_ends_is_gone_at_once(live, monkeypatch, begin):
    ends = begin(live, monkeypatch)
    assert ends(known_routes("local").deployments[0])
    time.sleep(SHORT_S)
    assert not ends(known_routes("local").deployments[0])


def test_names_that_nobody_serves_fill_no_memory(live, monkeypatch):
    monkeypatch.setattr(memory, "KEPT", 3)
    for number in range(10):
        assert known_routes(f"nowhere-{number}").deployments == ()
        assert len(memory._known) <= 3
    assert known_routes("local") == routes_for_gateway("local")
