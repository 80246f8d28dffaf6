"""What keeps servers from getting ready is a plain sentence with its remedy, on the page and in the API."""

import html
import json
from datetime import timedelta

import pytest
from django.utils import timezone

from deployments_app.backends.kubernetes_api import _explain
from deployments_app.backends.kubernetes_reasons import read_status
from deployments_app.models import Rollout
from deployments_app.remedies import REMEDIES, remedy
from deployments_app.tests.factories import pass_step
from deployments_app.tests.test_manifests import QUOTA, RUNNING, deployment, ended, pod


def seen(*pods, conditions=()):
    """The reason as the Kubernetes backend reads it from these objects."""
    return read_status(deployment(1, *conditions), pods, service="x").reason


def refused(status, message):
    """The reason as the API server's refusal of an object gives it."""
    return _explain(status, json.dumps({"message": message}).encode(), "apply the Deployment rel-1", "aisle")


FORBIDDEN = 'deployments.apps "rel-1" is forbidden: User "aisle" cannot patch resource'
WAITING = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}
CRASHING = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended(3, "digest differs")}
TROUBLES = {
    "image missing": (
        "reason", seen(pod(server=WAITING)),
        "the image aisle:1 cannot be fetched: not found", "check that the image's name is right",
    ),
    "quota exceeded by pods": (
        "reason", seen(conditions=[QUOTA]),
        "the namespace's quota is used up: exceeded quota: small, requested: pods=1",
        "ask for fewer or smaller servers in the plan",
    ),
    "quota exceeded by an object": (
        "error", refused(403, 'services "rel-1" is forbidden: exceeded quota: small'),
        "the quota of the namespace aisle is used up", "ask for fewer or smaller servers in the plan",
    ),
    "forbidden": (
        "error", refused(403, FORBIDDEN),
        "Aisle may not apply the Deployment rel-1 in the namespace aisle",
        "have an administrator of the cluster apply the Role that the environment's page prints",
    ),
    "never ready": (
        "reason", seen(pod(server=RUNNING)),
        "the server is warming up", "look at the servers' own log. If they only need longer,",
    ),
    "crash loop": (
        "reason", seen(pod(server=CRASHING)),
        "the server ended with status 3: digest differs; the next start waits a while",
        "read what the server said last",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TROUBLES)
def test_each_trouble_is_a_sentence_with_its_remedy(world, told, visit, client, name):
    where, reason, sentence, what_to_do = TROUBLES[name]
    live = world.make_live()
    rollout = world.start(world.version("item_knn"))
    told.never_ready.add(rollout.release_id)
    setattr(told, where, reason)

    def read():
        page = html.unescape(visit("viewer", "rollout_detail", rollout.pk).text_)
        headers = {"X-Aisle-Shop": world.shop.slug}
        found = client.get(f"/api/v1/rollouts/{rollout.pk}", headers=headers).json()
        return page, found

    world.advance(rollout)
    page, found = read()
    assert found["status"] == "pending"
    assert f"preparing: {sentence}" in found["reason"]
    assert f"Preparing: {sentence}" in page
    assert "start it again" not in found["remedy"]
    is_normal_at_first = name == "never ready"
    assert ("What to do:" in page) is (what_to_do in found["remedy"]) is not is_normal_at_first

    Rollout.objects.filter(pk=rollout.pk).update(started_at=timezone.now() - timedelta(seconds=31))
    world.advance(rollout)
    page, found = read()
    assert found["status"] == "failed"
    assert found["reason"].startswith(f"never ready: {sentence}")
    assert what_to_do in found["remedy"]
    assert f"<p data-problem-detail>Never ready: {sentence}" in page
    assert f"<b>What to do:</b> {what_to_do}" in page
    world.deployment.refresh_from_db()
    assert (world.deployment.stable, world.deployment.canary_weight_pct) == (live, 0)


@pytest.mark.parametrize(
    "reason",
    [
        "preparing: the server is warming up",
        "held: needs 60 more answers from the new release",
        "canary (step 1 of 3): holding until 10:00:00 UTC",
        "release 2 serves everybody: every gateway runs the new routes",
    ],
)
def test_where_nothing_is_wrong_nothing_has_to_be_done(reason):
    assert remedy(reason) == ""


def test_a_rollout_that_its_checks_stopped_points_at_them(world, visit):
    world.make_live()
    rollout = world.advance(world.start(world.version("item_knn")))
    pass_step(rollout, "fail", "3 % of answers were errors")
    world.advance(rollout)
    assert (
        "<b>What to do:</b> look at the checks below" in visit("viewer", "rollout_detail", rollout.pk).text_
    )


def test_every_remedy_is_a_sentence_that_follows_what_to_do():
    for _, words in REMEDIES:
        assert words[0].islower()
        assert words.endswith(".")
