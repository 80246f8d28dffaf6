"""After 100 %: what fails beyond doubt is rolled back by itself, and only once."""

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from deployments_app.models import AnalysisVerdict, Deployment, Rollout, Workload
from deployments_app.services.rollbacks import roll_back
from deployments_app.tests.factories import make_world, verbs
from monitoring_app.models import Alert, MetricPoint
from monitoring_app.services.alerts import acknowledge_alert, raise_alert
from monitoring_app.services.reactions import KIND, watch_live
from monitoring_app.tests.test_events import make_release

pytestmark = pytest.mark.django_db
PLAN = {"steps": [{"weight_pct": 100}]}


@pytest.fixture
def world():
    return make_world()


@pytest.fixture
def rollout(world):
    """Release 2 serves everybody since ten minutes ago; release 1 is warm and answered well before."""
    old, new = make_release(world, 1), make_release(world, 2)
    now = timezone.now()
    place = world.deployment
    place.stable, place.last_good, place.last_good_until = new, old, now + timedelta(days=1)
    place.save()
    for release in (old, new):
        Workload.objects.create(release=release, ready=1, endpoints=["127.0.0.1:1"])
    answered(old, ago_s=900)
    first = went_live(world, old, None)
    Rollout.objects.filter(pk=first.pk).update(
        created_at=now - timedelta(days=2), finished_at=now - timedelta(days=2)
    )
    return went_live(world, new, old)


def went_live(world, release, before):
    now = timezone.now()
    return Rollout.objects.create(
        shop=world.shop,
        deployment=world.deployment,
        kind="promote",
        release=release,
        from_release=before,
        status="succeeded",
        plan=PLAN,
        salt="s",
        created_by=world.admin.user,
        created_at=now - timedelta(minutes=20),
        finished_at=now - timedelta(minutes=10),
    )


def answered(release, *, ago_s=30.0, requests=1000, errors=0, latency=None):
    at = timezone.now().timestamp() - ago_s
    points = [
        MetricPoint(
            deployment=release.deployment,
            release=release,
            width_s=width_s,
            at=datetime.fromtimestamp(at // width_s * width_s, UTC),
            requests=requests,
            answers=requests,
            errors=errors,
            latency=latency or {"5": requests},
        )
        for width_s in (2, 60)
    ]
    MetricPoint.objects.bulk_create(points, ignore_conflicts=True)  # two may fall into one minute


def watch(rollout):
    """Look at what went live, and again 11 s later; returns the number of the release that serves then."""
    watch_live([rollout.deployment_id])
    AnalysisVerdict.objects.update(created_at=timezone.now() - timedelta(seconds=11))
    watch_live([rollout.deployment_id])
    return Deployment.objects.get(pk=rollout.deployment_id).stable.number


def test_a_release_that_does_well_stays_and_its_checks_are_kept(rollout):
    answered(rollout.release)
    assert watch(rollout) == watch(rollout) == 2
    (found,) = rollout.verdicts.all()
    assert (found.step, found.verdict) == (1, "pass")


def test_an_hour_that_is_twice_as_slow_is_no_release_that_is(rollout):
    answered(rollout.release, latency={"5": 100, "10": 900})
    assert watch(rollout) == 2


def test_a_failure_has_to_last(rollout):
    """A server that died is back within seconds: its errors are in the figures, but over."""
    answered(rollout.release, errors=100)
    watch_live([rollout.deployment_id])
    assert Deployment.objects.get(pk=rollout.deployment_id).stable.number == 2
    answered(rollout.release, ago_s=3, requests=10)
    assert watch(rollout) == 2
    assert rollout.verdicts.get().verdict == "fail"


def test_silence_rolls_nothing_back(rollout):
    assert watch(rollout) == 2


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"errors": 100}, "100 of 1,000 first attempts failed"),
        ({"latency": {"5": 100, "25": 0, "100": 900}}, "stable's is"),
    ],
)
def test_what_fails_after_going_live_is_rolled_back_once_with_its_reason(rollout, bad, why):
    answered(rollout.release, **bad)
    assert watch(rollout) == 1
    back = Rollout.objects.get(kind="rollback")
    assert (back.created_by, back.release.number, back.from_release.number) == (None, 1, 2)
    assert why in back.note
    assert verbs(back) == ["rollout.rolled_back"]
    assert "by itself" in Alert.objects.get().sentence
    assert watch(rollout) == 1  # what serves now was not promoted: nobody watches it
    assert Rollout.objects.filter(kind="rollback").count() == 1


def test_trouble_that_begins_late_is_seen_among_much_that_was_good(rollout):
    answered(rollout.release, ago_s=400, requests=100_000)
    answered(rollout.release, ago_s=20, requests=100, errors=40)
    assert watch(rollout) == 1


def test_after_an_automatic_rollback_a_placement_cools_down(world, rollout):
    answered(rollout.release, errors=500)
    assert watch(rollout) == 1
    now = timezone.now()
    automatic = Rollout.objects.filter(kind="rollback")
    automatic.update(status="succeeded", created_at=now - timedelta(minutes=30))
    Deployment.objects.filter(pk=world.deployment.pk).update(
        stable=rollout.release, last_good=rollout.from_release
    )
    went_live(world, rollout.release, rollout.from_release)  # the same version once more
    assert watch(rollout) == 2
    assert "It was not rolled back by itself" in Alert.objects.get().sentence
    automatic.update(created_at=now - timedelta(minutes=61))
    assert watch(rollout) == 1


def test_the_watch_ends_with_its_time_and_the_plan_says_when(rollout):
    answered(rollout.release, errors=500)
    mine = Rollout.objects.filter(pk=rollout.pk)
    mine.update(plan={**PLAN, "watch_s": 60})
    assert watch(rollout) == 2
    mine.update(plan=PLAN, finished_at=timezone.now() - timedelta(minutes=31))
    assert watch(rollout) == 2
    mine.update(finished_at=timezone.now() - timedelta(minutes=29))
    assert watch(rollout) == 1


def test_a_release_before_that_is_not_loaded_any_more_is_for_a_person_to_decide(rollout):
    Workload.objects.filter(release=rollout.from_release).update(ready=0)
    answered(rollout.release, errors=500)
    assert watch(rollout) == 2
    assert "is not loaded any more" in Alert.objects.get().sentence


def test_a_person_who_was_faster_is_not_overtaken(world, rollout):
    answered(rollout.release, errors=500)
    roll_back(world.operator, world.shop, world.deployment)
    assert watch(rollout) == 1
    assert Rollout.objects.get(kind="rollback").created_by == world.operator.user
    assert not Alert.objects.exists()


@pytest.fixture
def acknowledged(world, rollout):
    """Release 1 was in trouble, and a person has seen that."""
    alert = raise_alert(world.deployment, rollout.from_release, KIND, "Release 1 fails.")
    return acknowledge_alert(world.operator, world.shop, alert.pk)


def test_another_releases_trouble_fires_anew_though_the_last_was_acknowledged(rollout, acknowledged):
    answered(rollout.release, errors=500)
    assert watch(rollout) == 1
    acknowledged.refresh_from_db()
    fired = Alert.objects.exclude(pk=acknowledged.pk).get()
    assert (acknowledged.status, fired.status, fired.release) == ("resolved", "firing", rollout.release)


def test_an_alert_is_over_when_a_release_that_went_live_passes(rollout, acknowledged):
    answered(rollout.release)
    assert watch(rollout) == 2
    acknowledged.refresh_from_db()
    assert acknowledged.status == "resolved"


def test_an_alert_of_any_kind_can_be_acknowledged_where_its_link_leads(world, rollout, client):
    alert = raise_alert(world.deployment, rollout.release, KIND, "Release 2 fails.")
    client.force_login(world.operator.user)
    page = client.get(reverse("consistency", args=[world.shop.slug, world.deployment.pk])).content.decode()
    assert reverse("alert_acknowledge", args=[world.shop.slug, alert.pk]) in page
