"""A rollout from approval to all shoppers: steps, holds, stops, and what people do to it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from deployments_app.models import Deployment, Rollout, Workload
from deployments_app.plan_templates import TEMPLATES
from deployments_app.selectors import rollout_feed
from deployments_app.services import advance as loop
from deployments_app.services.rollouts import (
    abort_rollout,
    conclude_rollout,
    explain_rollout,
    pause_rollout,
    promote_now,
    resume_rollout,
    step_now,
)
from deployments_app.services.starts import start_rollout
from deployments_app.services.verdicts import record_verdict
from deployments_app.tests.factories import QUICK_PLAN, pass_step, verbs
from portal.core.errors import Conflict, InvalidInput, InvalidTransition, NotPermitted, StaleState
from portal.core.testing import at_once

pytestmark = pytest.mark.django_db


def weights(world):
    row = Deployment.objects.get(pk=world.deployment.pk)
    return (row.stable and row.stable.number, row.canary and row.canary.number, row.canary_weight_pct)


def canary(world, version=None, **options):
    """A second release at its first step, 10 %."""
    world.make_live()
    return world.advance(world.start(version, **options))


def test_the_first_release_goes_straight_to_everybody(world):
    rollout = world.start()
    assert weights(world) == (None, None, 0)
    world.advance(rollout)
    assert (rollout.status, weights(world)) == ("progressing", (None, 1, 100))
    world.advance(rollout)
    assert (rollout.status, weights(world)) == ("succeeded", (1, None, 0))
    rollout.promotion.refresh_from_db()
    assert rollout.promotion.status == "applied"
    assert verbs(rollout) == ["rollout.started", "rollout.progressing", "rollout.succeeded"]


def test_the_second_release_climbs_the_steps_as_they_pass(world):
    rollout = canary(world)
    seen = [weights(world)]
    for _ in range(2):
        world.advance(rollout)  # no verdict: nothing moves
        assert weights(world) == seen[-1]
        pass_step(rollout)
        world.advance(rollout)
        seen.append(weights(world))
    assert seen == [(1, 2, 10), (1, 2, 50), (1, 2, 100)]
    world.advance(rollout)
    assert rollout.status == "succeeded"
    assert weights(world) == (2, None, 0)
    row = Deployment.objects.get(pk=world.deployment.pk)
    assert row.last_good.number == 1
    assert row.last_good_until > timezone.now() + timedelta(days=1)
    assert verbs(rollout) == [
        "rollout.started",
        "rollout.progressing",
        "rollout.noted",
        "rollout.step_advanced",
        "rollout.noted",
        "rollout.step_advanced",
        "rollout.succeeded",
    ]
    reasons = [event.reason for event in rollout_feed(rollout)]
    assert "10 % of shoppers see release 2 now (step 1 of 3): release 2 is ready" in reasons
    assert "50 % of shoppers see release 2 now (step 2 of 3): all checks passed" in reasons


def test_the_salt_is_new_for_a_rollout_and_stays_for_its_ramp(world):
    world.make_live()
    before = Deployment.objects.get(pk=world.deployment.pk).salt
    rollout = world.advance(world.start())
    during = Deployment.objects.get(pk=world.deployment.pk).salt
    pass_step(rollout)
    world.advance(rollout)
    assert Deployment.objects.get(pk=world.deployment.pk).salt == during == rollout.salt
    assert during != before


def test_a_failing_verdict_returns_everybody_to_the_stable_release(world):
    rollout = canary(world)
    pass_step(rollout, "fail", "3 % of answers were errors (limit 1 %)")
    world.advance(rollout)
    assert rollout.status == "failed"
    assert weights(world) == (1, None, 0)
    assert "3 % of answers were errors" in rollout.reason
    assert rollout.error["detail"] == rollout.reason
    rollout.promotion.refresh_from_db()
    assert rollout.promotion.status == "approved"


def test_a_rollout_whose_servers_never_get_ready_fails_with_the_reason(world, told):
    live = world.make_live()
    rollout = world.start()
    told.never_ready.add(rollout.release_id)
    told.reason = "the server ended with status 3: not serving: digest differs"
    told.log = "Loading …\nnot serving: digest differs"
    world.advance(rollout)
    assert Workload.objects.get(release=rollout.release_id).log == told.log
    assert rollout.status == "pending"
    assert "digest differs" in rollout.reason
    Rollout.objects.filter(pk=rollout.pk).update(started_at=timezone.now() - timedelta(seconds=31))
    world.advance(rollout)
    assert rollout.status == "failed"
    assert rollout.reason.startswith("never ready: the server ended with status 3")
    assert rollout.error["log"] == told.log
    assert weights(world) == (live.number, None, 0)


def test_a_backend_that_does_not_answer_is_only_a_reason(world, told):
    rollout = world.start()
    told.error = "The cluster does not answer."
    world.advance(rollout)
    assert rollout.status == "pending"
    assert "The cluster does not answer." in rollout.reason
    told.error = ""
    world.advance(rollout, 2)
    assert rollout.status == "succeeded"


def test_inconclusive_pauses_and_a_person_resumes(world):
    rollout = canary(world)
    pass_step(rollout, "inconclusive", "p95 jumps about")
    world.advance(rollout)
    assert (rollout.status, weights(world)) == ("paused", (1, 2, 10))
    assert rollout.reason == "inconclusive: p95 jumps about"
    started = rollout.step_started_at
    resume_rollout(world.operator, world.shop, rollout)
    rollout.refresh_from_db()
    assert rollout.step_started_at > started
    world.advance(rollout)  # the verdict from before the pause does not count any more
    assert rollout.status == "progressing"


def test_a_verdict_from_before_the_step_does_not_count(world):
    rollout = canary(world)
    pass_step(rollout)
    rollout.verdicts.update(measured_at=rollout.step_started_at - timedelta(seconds=1))
    world.advance(rollout)
    assert rollout.step == 0


def test_a_verdict_on_another_step_is_not_taken(world):
    rollout = canary(world)
    assert record_verdict(rollout.pk, 1, "pass", []) is None
    assert record_verdict("rol_unknown", 0, "pass", []) is None


def test_the_same_verdict_again_renews_the_last_row(world):
    rollout = canary(world)
    for verdict in ("pass", "pass", "not_enough_data", "pass"):
        record_verdict(rollout.pk, 0, verdict, [])
    assert [each.verdict for each in rollout.verdicts.order_by("created_at")] == [
        "pass",
        "not_enough_data",
        "pass",
    ]


def test_a_failing_verdict_wakes_the_loop_at_once(world):
    rollout = canary(world)
    Rollout.objects.filter(pk=rollout.pk).update(due_at=timezone.now() + timedelta(hours=1))
    pass_step(rollout, "fail")
    rollout.refresh_from_db()
    assert rollout.due_at <= timezone.now()


def test_pause_keeps_the_shares_and_resume_goes_on_where_the_clock_stood(world):
    plan = {**QUICK_PLAN, "steps": [{"weight_pct": 10, "hold_s": 600}, {"weight_pct": 100}]}
    rollout = canary(world, plan=plan)
    pause_rollout(world.operator, world.shop, rollout, reason="looking at it")
    rollout.refresh_from_db()
    assert (rollout.status, weights(world)) == ("paused", (1, 2, 10))
    assert rollout.reason == "looking at it"
    world.advance(rollout, 2)
    assert rollout.status == "paused"
    an_hour_ago = timezone.now() - timedelta(hours=1)
    Rollout.objects.filter(pk=rollout.pk).update(
        paused_at=an_hour_ago, step_started_at=an_hour_ago - timedelta(seconds=30)
    )
    rollout = resume_rollout(world.operator, world.shop, rollout)
    held_s = (timezone.now() - rollout.step_started_at).total_seconds()
    assert 29 < held_s < 35
    assert verbs(rollout)[-2:] == ["rollout.paused", "rollout.resumed"]


@pytest.mark.parametrize("hours", [1, -1])
def test_a_worker_whose_clock_is_wrong_neither_skips_a_hold_nor_draws_it_out(world, monkeypatch, hours):
    steps = [{"weight_pct": 10, "hold_s": 600}, {"weight_pct": 50, "hold_s": 600}, {"weight_pct": 100}]
    rollout = canary(world, plan={**QUICK_PLAN, "steps": steps})
    right = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: right() + timedelta(hours=hours))

    def began_just_now():
        rollout.refresh_from_db()
        return abs((right() - rollout.step_started_at).total_seconds()) < 60

    pass_step(rollout)
    world.advance(rollout)
    assert weights(world) == (1, 2, 10)
    step_now(world.operator, world.shop, rollout)
    assert began_just_now()
    pass_step(rollout)
    world.advance(rollout)
    assert weights(world) == (1, 2, 50)
    pause_rollout(world.operator, world.shop, rollout)
    rollout.refresh_from_db()
    resume_rollout(world.operator, world.shop, rollout)
    assert began_just_now()
    Rollout.objects.filter(pk=rollout.pk).update(step_started_at=right() - timedelta(seconds=601))
    pass_step(rollout)
    world.advance(rollout)
    assert weights(world) == (1, 2, 100)


def test_step_now_takes_the_next_step_without_waiting(world):
    rollout = canary(world)
    step_now(world.operator, world.shop, rollout)
    assert weights(world) == (1, 2, 50)
    step_now(world.operator, world.shop, rollout)
    step_now(world.operator, world.shop, rollout)
    assert weights(world) == (2, None, 0)
    rollout.refresh_from_db()
    assert rollout.status == "succeeded"


def test_promote_now_gives_everybody_the_release_from_a_pause_too(world):
    rollout = canary(world)
    pause_rollout(world.operator, world.shop, rollout)
    promote_now(world.operator, world.shop, rollout)
    assert weights(world) == (2, None, 0)
    rollout.refresh_from_db()
    assert (rollout.status, rollout.weight_pct) == ("succeeded", 100)
    assert rollout.promotion.status == "applied" or rollout.promotion.pk


def test_nobody_is_sent_to_servers_that_are_not_ready(world):
    rollout = canary(world)
    Workload.objects.filter(release=rollout.release).update(ready=0, reason="it crashed")
    for act in (step_now, promote_now):
        with pytest.raises(Conflict, match="it crashed"):
            act(world.operator, world.shop, rollout)
    assert weights(world) == (1, 2, 10)


def test_abort_gives_everybody_the_stable_release_in_the_same_transaction(world):
    rollout = canary(world)
    abort_rollout(world.operator, world.shop, rollout, reason="wrong season")
    assert weights(world) == (1, None, 0)
    rollout.refresh_from_db()
    assert (rollout.status, rollout.reason) == ("aborted", "wrong season")
    with pytest.raises(InvalidTransition) as refusal:
        abort_rollout(world.operator, world.shop, rollout)
    assert refusal.value.extra == {"current": "aborted", "allowed": []}


def test_an_aborted_requests_rollout_can_be_started_again_with_the_same_release(world):
    rollout = canary(world)
    abort_rollout(world.operator, world.shop, rollout)
    again = start_rollout(world.operator, world.shop, rollout.promotion)
    assert again.pk != rollout.pk
    assert again.release_id == rollout.release_id
    with pytest.raises(Conflict, match="is pending here"):
        start_rollout(world.operator, world.shop, rollout.promotion)


def test_a_button_pressed_on_an_old_page_changes_nothing(world):
    rollout = canary(world)
    seen = rollout.lock_version
    step_now(world.operator, world.shop, rollout, lock_version=seen)
    with pytest.raises(StaleState):
        step_now(world.operator, world.shop, rollout, lock_version=seen)
    assert weights(world) == (1, 2, 50)


def test_viewers_and_analysts_look_but_do_not_touch(world):
    rollout = canary(world)
    for actor in (world.viewer, world.analyst):
        for act in (pause_rollout, resume_rollout, step_now, promote_now, abort_rollout):
            with pytest.raises(NotPermitted):
                act(actor, world.shop, rollout)
    assert weights(world) == (1, 2, 10)


def test_a_reason_can_be_told_afterwards(world):
    rollout = canary(world)
    explain_rollout(world.operator, world.shop, rollout, "Black Friday is no day for this")
    rollout.refresh_from_db()
    assert rollout.note.startswith("Black Friday")


def test_a_server_that_dies_at_a_step_holds_the_rollout_until_it_is_back(world, told):
    rollout = canary(world)
    told.never_ready.add(rollout.release_id)
    pass_step(rollout)
    world.advance(rollout)
    assert (rollout.step, rollout.status) == (0, "progressing")
    assert "release 2 is not ready" in rollout.reason
    told.never_ready.clear()
    world.advance(rollout)
    assert rollout.step == 1


def test_the_phase_is_one_event_and_not_one_for_every_number(world):
    rollout = canary(world)
    for missing in (90, 60, 30):
        checks = [{"name": "answers", "verdict": "not_enough_data", "sentence": f"needs {missing} more"}]
        record_verdict(rollout.pk, 0, "not_enough_data", checks)
        world.advance(rollout)
        assert rollout.reason == f"held: needs {missing} more"
    assert verbs(rollout).count("rollout.noted") == 1


def test_blue_green_is_loaded_unseen_and_switched_at_once_by_a_person(world):
    rollout = canary(world, plan=TEMPLATES["blue_green"].plan.to_json())
    assert weights(world) == (1, 2, 0)
    world.advance(rollout, 3)
    assert (rollout.status, weights(world)) == ("progressing", (1, 2, 0))
    assert rollout.reason == "preview (step 1 of 2): waiting for somebody to look at it and promote it"
    promote_now(world.operator, world.shop, rollout)
    assert weights(world) == (2, None, 0)
    rollout.refresh_from_db()
    assert rollout.status == "succeeded"


def test_a_shadow_copies_requests_until_it_passes(world):
    rollout = canary(world, plan=TEMPLATES["shadow_first"].plan.to_json())
    row = Deployment.objects.get(pk=world.deployment.pk)
    assert (weights(world), row.canary_mirror_pct) == ((1, 2, 0), 25)
    assert "answers a copy of 25 % of requests, unseen" in rollout.reason
    step_now(world.operator, world.shop, rollout)
    row.refresh_from_db()
    assert (weights(world), row.canary_mirror_pct) == ((1, 2, 10), 0)


@pytest.mark.parametrize(
    ("keep", "status", "routes"), [("new", "succeeded", (2, None, 0)), ("live", "aborted", (1, None, 0))]
)
def test_an_ab_test_is_open_until_a_person_concludes_it(world, keep, status, routes):
    rollout = canary(world, plan=TEMPLATES["ab"].plan.to_json())
    pass_step(rollout)
    world.advance(rollout, 2)
    assert (rollout.status, weights(world)) == ("progressing", (1, 2, 50))
    for act in (step_now, promote_now):
        with pytest.raises(InvalidTransition, match="What can be done: pause, conclude, abort"):
            act(world.operator, world.shop, rollout)
    with pytest.raises(InvalidInput, match="new or live"):
        conclude_rollout(world.operator, world.shop, rollout, "both")
    with pytest.raises(NotPermitted):
        conclude_rollout(world.analyst, world.shop, rollout, keep)
    conclude_rollout(world.operator, world.shop, rollout, keep, reason="more clicks")
    rollout.refresh_from_db()
    assert (rollout.status, weights(world)) == (status, routes)
    assert f"concluded the test: release {routes[0]} stays (more clicks)" in rollout.reason
    assert verbs(rollout)[-1] == "rollout.concluded"


@pytest.mark.django_db(transaction=True)
def test_workers_at_once_take_one_step(world):
    rollout = canary(world)
    pass_step(rollout)
    results = at_once(12, lambda n: loop.advance_rollout(rollout.pk))
    assert results == [None] * 12
    assert weights(world) == (1, 2, 50)
    assert verbs(rollout).count("rollout.step_advanced") == 1


@pytest.mark.django_db(transaction=True)
def test_clicks_and_workers_at_once_leave_one_state(world):
    """24 of them: the loop with a passed verdict, aborts, promotions; one end, and routes that fit it."""
    rollout = canary(world)
    pass_step(rollout)

    def act(n):
        if n % 3 == 0:
            return loop.advance_rollout(rollout.pk)
        return (abort_rollout if n % 3 == 1 else promote_now)(world.operator, world.shop, rollout)

    results = at_once(24, act)
    rollout.refresh_from_db()
    refused = [each for each in results if isinstance(each, Exception)]
    assert all(getattr(each, "status", 500) == 409 for each in refused), refused
    assert len(refused) == 15
    ends = {"aborted": (1, None, 0), "succeeded": (2, None, 0)}
    assert weights(world) == ends[rollout.status]


@pytest.mark.django_db(transaction=True)
def test_a_click_overtakes_a_worker_that_already_decided(world, monkeypatch):
    rollout = canary(world)
    pass_step(rollout)
    decide = loop.plan_next

    def decide_then_click(*args):
        decision = decide(*args)
        abort_rollout(world.operator, world.shop, rollout)
        return decision

    monkeypatch.setattr(loop, "plan_next", decide_then_click)
    world.advance(rollout)
    assert rollout.status == "aborted"
    assert weights(world) == (1, None, 0)
