"""From what gateways, servers and shops report to the verdict that the stage which acts is handed."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from deployments_app.models import AnalysisVerdict, Rollout
from deployments_app.tests.factories import QUICK_PLAN, make_world
from monitoring_app.models import Collector, ConsistencyCheck, MetricPoint
from monitoring_app.selectors.feedback import reactions_since, usual_reaction
from monitoring_app.services.feedback import take_events
from monitoring_app.services.judging import judge_rollout, judge_rollouts
from monitoring_app.silence import still_silent
from monitoring_app.tests.test_events import event, list_of, make_release

pytestmark = pytest.mark.django_db


@pytest.fixture
def rollout():
    """A canary of release 2 whose arms gave 200 and 1,000 lists since the step began a minute ago."""
    world = make_world()
    stable, canary = make_release(world, 1), make_release(world, 2)
    world.deployment.stable, world.deployment.canary = stable, canary
    world.deployment.save()
    now = timezone.now()
    for release, lists in ((canary, 200), (stable, 1000)):
        for width_s in (2, 60):
            MetricPoint.objects.create(
                deployment=world.deployment,
                release=release,
                width_s=width_s,
                at=datetime.fromtimestamp((now.timestamp() - 20) // width_s * width_s, UTC),
                requests=lists,
                answers=lists,
                latency={"5": lists},
            )
    made = Rollout.objects.create(
        shop=world.shop,
        deployment=world.deployment,
        kind="promote",
        release=canary,
        from_release=stable,
        status="progressing",
        weight_pct=10,
        plan=QUICK_PLAN,
        step_started_at=now - timedelta(seconds=90),
        salt="s",
    )
    compared(canary)
    made.admin = world.admin
    return made


def compared(release, **changes):
    """The servers of a release were compared with the registry."""
    found = {"servers": 1, "shoppers": 32, "k": 10, "compared": 32, "agreeing": 32, **changes}
    return ConsistencyCheck.objects.create(
        deployment=release.deployment, release=release, trigger="change", **found
    )


def click(rollout, release, count, *, ago_s=30.0):
    prefix = f"{release.number} {ago_s}"
    batch = [
        event(f"{prefix} {number}", recommendation_id=list_of(release, ago_s=ago_s))
        for number in range(count)
    ]
    assert take_events(rollout.admin, rollout.shop, batch).accepted == count


def judged(rollout):
    judge_rollout(rollout, timezone.now())
    verdict = AnalysisVerdict.objects.get(rollout=rollout)
    return verdict.verdict, {check["name"]: check for check in verdict.checks}


def test_a_shop_that_sends_nothing_is_judged_by_the_rest(rollout):
    verdict, checks = judged(rollout)
    assert verdict == "pass"
    assert not {"ctr", "conversion"} & set(checks)


def test_lost_clicks_fail_the_step(rollout):
    click(rollout, rollout.from_release, 200)
    click(rollout, rollout.from_release, 100, ago_s=40)  # in another bucket: they add up
    click(rollout, rollout.release, 2)
    verdict, checks = judged(rollout)
    assert verdict == "fail"
    assert (checks["ctr"]["value"], checks["ctr"]["stable"], checks["ctr"]["n"]) == (1.0, 30.0, 200)


@pytest.mark.parametrize("weight_pct", [10, 0])
def test_a_paused_release_that_shoppers_see_is_judged_and_a_failure_ends_it(rollout, weight_pct):
    MetricPoint.objects.filter(release=rollout.release).update(errors=100)
    plan = {"steps": [{"weight_pct": weight_pct, "ends_by": "person"}, {"weight_pct": 100}]}
    plan |= {"strategy": "ab" if weight_pct else "blue_green"}
    Rollout.objects.filter(pk=rollout.pk).update(
        status="paused", weight_pct=weight_pct, plan=plan, due_at=None, paused_at=timezone.now()
    )
    judge_rollouts([rollout.deployment_id])
    found = AnalysisVerdict.objects.filter(rollout=rollout).first()
    rollout.refresh_from_db()
    if weight_pct:
        assert found is not None
        assert (found.verdict, rollout.due_at is None) == ("fail", False)  # the loop gives it up at once
    else:
        assert found is None  # nobody sees it


def test_lists_that_the_servers_have_not_counted_yet_are_left_out(rollout):
    stable, now = rollout.from_release, timezone.now()
    click(rollout, stable, 30, ago_s=5)
    click(rollout, stable, 20, ago_s=40)
    Collector.objects.create(deployment=rollout.deployment, collected_at=now - timedelta(seconds=20))
    found = reactions_since(rollout.deployment_id, {stable.pk: 100}, now - timedelta(seconds=60), now)
    assert (found[stable.pk].exposures, found[stable.pk].clicks) == (100, 20)


def test_a_step_is_held_until_its_servers_were_compared(rollout):
    ConsistencyCheck.objects.update(created_at=rollout.created_at - timedelta(seconds=1))  # an earlier try
    verdict, checks = judged(rollout)
    assert (verdict, checks["parity"]["verdict"]) == ("not_enough_data", "not_enough_data")


@pytest.mark.parametrize("is_canary", [True, False])
def test_a_step_is_held_while_a_server_cannot_be_asked_and_no_click_rate_is_made_up(rollout, is_canary):
    """One arm's answers are not counted: its clicked lists alone would be a click rate of 100 %."""
    silent = rollout.release if is_canary else rollout.from_release
    MetricPoint.objects.filter(release=silent).update(answers=0)
    click(rollout, rollout.release, 40)
    click(rollout, rollout.from_release, 40)
    reason = [(silent.pk, "10.0.0.9:8080", "it did not answer")]
    asked = Collector.objects.create(
        deployment=rollout.deployment, silent=still_silent([], reason, timezone.now())
    )
    verdict, checks = judged(rollout)
    assert verdict == "not_enough_data"
    assert "10.0.0.9:8080 cannot be asked since" in checks["servers"]["sentence"]
    assert "ctr" not in checks

    Collector.objects.filter(pk=asked.pk).update(silent=[])
    judge_rollout(rollout, timezone.now())
    (row,) = AnalysisVerdict.objects.filter(rollout=rollout)  # the same verdict, for another reason
    ctr = next(check for check in row.checks if check["name"] == "ctr")
    shares = (None, 4.0) if is_canary else (20.0, None)
    assert (ctr["verdict"], ctr["value"], ctr["stable"]) == ("not_enough_data", *shares)


def test_clicks_on_lists_from_before_the_step_say_nothing_of_it(rollout):
    click(rollout, rollout.from_release, 300)
    click(rollout, rollout.release, 60)
    click(rollout, rollout.from_release, 40, ago_s=600)
    verdict, checks = judged(rollout)
    assert (verdict, checks["ctr"]["stable"]) == ("pass", 30.0)


def test_a_mirrored_release_is_not_judged_by_clicks_it_cannot_get(rollout):
    click(rollout, rollout.from_release, 300)
    rollout.weight_pct = 0
    judge_rollout(rollout, timezone.now())
    assert not [
        check for row in AnalysisVerdict.objects.all() for check in row.checks if check["name"] == "ctr"
    ]


def show(rollout, release, count):
    lists = [list_of(release, ago_s=30.0) for _ in range(count)]
    batch = [
        event(f"shown {release.number} {n}", "impression", recommendation_id=each, item_id=...)
        for n, each in enumerate(lists)
    ]
    assert take_events(rollout.admin, rollout.shop, batch).accepted == count
    return lists


def test_lists_that_were_shown_are_the_exposures_where_the_shop_tells_it_of_both_arms(rollout):
    stable, canary, now = rollout.from_release, rollout.release, timezone.now()
    lists = show(rollout, stable, 500)
    take_events(rollout.admin, rollout.shop, [event("c", recommendation_id=lists[0])])
    since = now - timedelta(minutes=5)

    def exposures():
        found = reactions_since(rollout.deployment_id, {stable.pk: 1000, canary.pk: 200}, since, now)
        return [(found[each.pk].exposures, found[each.pk].clicks) for each in (stable, canary)]

    assert exposures() == [(1000, 1), (200, 0)]  # nothing is told of the canary's
    show(rollout, canary, 99)
    assert exposures() == [(1000, 1), (200, 0)]
    show_one_more = [event("one more", "impression", recommendation_id=list_of(canary), item_id=...)]
    take_events(rollout.admin, rollout.shop, show_one_more)
    assert exposures() == [(500, 1), (100, 0)]
    assert usual_reaction(rollout.deployment_id, stable.pk, now).ctr == 1 / 500


def test_a_stray_impression_hides_no_lost_clicks(rollout):
    click(rollout, rollout.from_release, 300)
    click(rollout, rollout.release, 2)
    show(rollout, rollout.from_release, 1)
    verdict, checks = judged(rollout)
    assert verdict == "fail"
    assert (checks["ctr"]["value"], checks["ctr"]["stable"]) == (1.0, 30.0)


def test_what_is_usual_is_reckoned_as_the_step_is(rollout):
    """The shop tells what is shown since this step only: the day before is no measure of shown lists."""
    older = timezone.now() - timedelta(hours=3)
    MetricPoint.objects.create(
        deployment=rollout.deployment, release=rollout.from_release, width_s=60, at=older, answers=10_000
    )
    show(rollout, rollout.from_release, 900)
    show(rollout, rollout.release, 180)
    click(rollout, rollout.from_release, 100)
    click(rollout, rollout.release, 20)
    _, checks = judged(rollout)
    assert (checks["ctr"]["value"], checks["ctr"]["n"]) == (10.0, 200)
