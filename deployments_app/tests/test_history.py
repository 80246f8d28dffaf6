"""The time machine and the rehearsal: what served when, and how long the way back takes."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from deployments_app.gateway_report import WatchReport
from deployments_app.models import Rehearsal, Workload
from deployments_app.routing import routes_for_gateway
from deployments_app.selectors import moment, periods
from deployments_app.services.gateways import record_gateway_measure
from deployments_app.services.rehearsals import rehearse_rollback
from deployments_app.services.rollbacks import roll_back
from portal.core.errors import Conflict, NotPermitted
from portal.core.models import Event

pytestmark = pytest.mark.django_db


@pytest.fixture
def story(world):
    """Release 1, then 2, then a canary of 3 that is called off by a rollback to 1; the moments between."""
    marks = {"before": timezone.now()}
    world.make_live()
    marks["one"] = timezone.now()
    world.make_live()
    marks["two"] = timezone.now()
    rollout = world.advance(world.start(), 2)
    assert rollout.weight_pct == 10
    marks["canary"] = timezone.now()
    first = world.deployment.releases.get(number=1)
    roll_back(world.operator, world.shop, world.deployment, to_release=first.pk)
    marks["back"] = timezone.now()
    world.deployment.refresh_from_db()
    return marks


def test_every_moment_has_what_served_then(world, story):
    found = periods(world.deployment)
    assert [(each.release.number, each.rollout.kind) for each in found] == [
        (1, "rollback"),
        (2, "promote"),
        (1, "promote"),
    ]
    assert found[0].until is None
    assert [each.since for each in found[:-1]] == [each.until for each in found[1:]]
    assert found[1].approved_by == (world.approver.label,)
    seen = {name: moment(world.deployment, at) for name, at in story.items()}
    assert seen["before"].period is None
    served = {name: each.period.release.number for name, each in seen.items() if each.period}
    assert served == {"one": 1, "two": 2, "canary": 2, "back": 1}
    assert (seen["canary"].canary.number, seen["canary"].canary_weight_pct) == (3, 10)
    assert [seen[name].canary for name in ("one", "two", "back")] == [None, None, None]


def test_the_page_shows_a_moment_and_restores_it(world, story, client):
    client.force_login(world.operator.user)
    url = reverse("time_machine", args=[world.shop.slug, world.deployment.pk])
    now = client.get(url).content.decode()
    assert "Release 1 serves everybody" in now
    assert "Restore" not in now
    nothing = client.get(url, {"at": "2001-01-01T00:00"}).content.decode()
    assert "Nothing served everybody" in nothing
    assert client.get(url, {"at": "yesterday"}).status_code == 422
    answer = client.get(
        reverse("api_history", args=[world.deployment.pk]),
        {"at": story["canary"].isoformat()},
        headers={"X-Aisle-Shop": world.shop.slug},
    ).json()
    assert (answer["live"]["number"], answer["canary_weight_pct"]) == (2, 10)
    assert len(answer["periods"]) == 3


def test_a_rehearsal_leads_probes_only_and_is_measured(world):
    world.make_live()
    world.make_live()
    before = routes_for_gateway().deployments[0]
    made = rehearse_rollback(world.operator, world.shop, world.deployment)
    route = routes_for_gateway().deployments[0]
    assert (route.rehearsal, route.watch.rollout_id) == (made.to_release_id, made.pk)
    assert (route.arms, route.stable, route.salt) == (before.arms, before.stable, before.salt)
    record_gateway_measure(made.pk, "gw-1", WatchReport(made.pk, 41.0, 58.5, 30, 0))
    made.refresh_from_db()
    assert made.measured["routes_running_ms"] == 58.5
    assert Event.objects.filter(verb="rollback.rehearsed", object_id=made.pk).count() == 1
    with pytest.raises(Conflict, match="under way"):
        rehearse_rollback(world.operator, world.shop, world.deployment)
    Rehearsal.objects.update(received_at=timezone.now() - timedelta(minutes=1))
    assert routes_for_gateway().deployments == (before,)
    with pytest.raises(NotPermitted):
        rehearse_rollback(world.viewer, world.shop, world.deployment)


def test_a_real_rollback_during_a_rehearsal_is_what_is_measured(world):
    world.make_live()
    world.make_live()
    rehearse_rollback(world.operator, world.shop, world.deployment)
    rollout = roll_back(world.operator, world.shop, world.deployment)
    route = routes_for_gateway().deployments[0]
    assert (route.rehearsal, route.watch.rollout_id) == (None, rollout.pk)


def test_what_cannot_be_rehearsed_says_why(world):
    with pytest.raises(Conflict, match="nothing to rehearse"):
        rehearse_rollback(world.operator, world.shop, world.deployment)
    world.make_live()
    first = world.deployment.stable
    world.make_live()
    Workload.objects.filter(release=first).update(ready=0)
    with pytest.raises(Conflict, match="not loaded"):
        rehearse_rollback(world.operator, world.shop, world.deployment)
    Workload.objects.filter(release=first).update(ready=1)
    world.advance(world.start(), 2)
    with pytest.raises(Conflict, match="calls it off"):
        rehearse_rollback(world.operator, world.shop, world.deployment)
