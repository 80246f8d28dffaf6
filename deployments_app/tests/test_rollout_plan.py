"""The rollout loop's decision, as a table: what is true, and what follows."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from deployments_app.plan_rules import AT_ONCE, Plan, Step
from deployments_app.rollout_plan import Observed, RolloutState, Verdict, plan_next

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
PLAN = Plan(steps=(Step(10, 60, 100), Step(50, 60, 100), Step(100)), max_wait_s=600, ready_within_s=120)


def ago(seconds):
    return NOW - timedelta(seconds=seconds)


def rollout(**changes):
    known = RolloutState(
        kind="promote",
        status="progressing",
        step=0,
        weight_pct=10,
        plan=PLAN,
        release_number=17,
        stable_number=16,
        started_at=ago(300),
        step_started_at=ago(90),
    )
    return replace(known, **changes)


def pending(**changes):
    return rollout(**{"status": "pending", "weight_pct": 0, "step_started_at": None, **changes})


BLUE_GREEN = Plan(strategy="blue_green", steps=(Step(0, ends_by="person"), Step(100)), ready_within_s=120)
TIMED = replace(BLUE_GREEN, steps=(Step(0, 60), Step(100, 60)))
SHADOW = Plan(strategy="shadow", steps=(Step(0, 60, 50, mirror_pct=25), Step(10, 60, 100), Step(100)))
AB = Plan(strategy="ab", steps=(Step(50, 60, 100, ends_by="person"), Step(100)), max_wait_s=600)


def unseen(plan, **changes):
    return rollout(plan=plan, weight_pct=0, **changes)


READY = Observed(is_ready=True)
AWAY = Observed(is_ready=False, reason="warming up", not_ready_since=ago(10))
GONE = replace(AWAY, not_ready_since=ago(121))
PASS = Verdict("pass", canary_answers=100, stable_answers=900)
ROLLBACK = rollout(kind="rollback", plan=AT_ONCE, weight_pct=100, step_started_at=ago(1))

DECISIONS = {
    # name: (rollout, observed, act, status, step, weight, words of the reason)
    "servers start": (pending(started_at=ago(5)), AWAY, "wait", None, None, None, "preparing: warming up"),
    "never ready": (pending(), GONE, "give_up", "failed", None, 0, "never ready: warming up"),
    "ready: first step": (pending(), READY, "shift", "progressing", 0, 10, "release 17 is ready"),
    "held by time": (
        rollout(step_started_at=ago(30)), READY, "wait", None, None, None, "canary (step 1 of 3): holding",
    ),
    "held by time although passed": (
        rollout(step_started_at=ago(30)), replace(READY, verdict=PASS), "wait", None, None, None, "holding",
    ),
    "passed: next step": (
        rollout(), replace(READY, verdict=PASS), "shift", None, 1, 50, "all checks passed",
    ),
    "no verdict yet": (rollout(), READY, "wait", None, None, None, "no verdict yet"),
    "too few answers of the new": (
        rollout(), replace(READY, verdict=replace(PASS, canary_answers=40)),
        "wait", None, None, None, "needs 60 more answers from the new release",
    ),
    "too few answers of the live": (
        rollout(), replace(READY, verdict=replace(PASS, stable_answers=99)),
        "wait", None, None, None, "needs 1 more answer from the live release",
    ),
    "not enough data holds": (
        rollout(), replace(READY, verdict=Verdict("not_enough_data", "needs 1,900 more views")),
        "wait", None, None, None, "held: needs 1,900 more views",
    ),
    "not enough data pauses at the limit": (
        rollout(step_started_at=ago(661)),
        replace(READY, verdict=Verdict("not_enough_data", "needs 1,900 more views")),
        "pause", "paused", None, None, "paused after waiting 10 minutes longer: needs 1,900",
    ),
    "silence pauses at the limit, never fails": (
        rollout(step_started_at=ago(661)), READY, "pause", "paused", None, None, "no verdict yet",
    ),
    "inconclusive pauses": (
        rollout(), replace(READY, verdict=Verdict("inconclusive", "p95 jumps about")),
        "pause", "paused", None, None, "inconclusive: p95 jumps about",
    ),
    "failed checks": (
        rollout(), replace(READY, verdict=Verdict("fail", "3 % of answers were errors")),
        "give_up", "failed", None, 0, "3 % of answers were errors; release 16 serves everybody again",
    ),
    "failed checks do not wait for the hold": (
        rollout(step_started_at=ago(1)), replace(READY, verdict=Verdict("fail", "errors")),
        "give_up", "failed", None, 0, "errors",
    ),
    "failed checks while paused": (
        rollout(status="paused"), replace(READY, verdict=Verdict("fail", "errors")),
        "give_up", "failed", None, 0, "errors",
    ),
    "paused stays paused": (
        rollout(status="paused", step_started_at=ago(9999)), replace(READY, verdict=PASS),
        "wait", None, None, None, "",
    ),
    "a server that is away holds": (
        rollout(), replace(AWAY, verdict=PASS), "wait", None, None, None, "held: release 17 is not ready",
    ),
    "a server that stays away": (
        rollout(), GONE, "give_up", "failed", None, 0, "no server ready for 2 minutes: warming up",
    ),
    "last step without hold ends at once": (
        rollout(step=2, weight_pct=100, step_started_at=ago(0)), READY,
        "finish", "succeeded", None, 100, "release 17 serves everybody",
    ),
    "last step with a hold is judged": (
        rollout(step=0, weight_pct=100, plan=Plan(steps=(Step(100, 60, 10),))), READY,
        "wait", None, None, None, "no verdict yet",
    ),
    "at 100 % nobody waits for the live release's answers": (
        rollout(step=0, weight_pct=100, plan=Plan(steps=(Step(100, 60, 10),))),
        replace(READY, verdict=replace(PASS, stable_answers=0)),
        "finish", "succeeded", None, 100, "all checks passed",
    ),
    "the first release goes straight to everybody": (
        pending(plan=AT_ONCE, stable_number=None), READY, "shift", "progressing", 0, 100, "is ready",
    ),
    "the first release never ready": (
        pending(plan=AT_ONCE, stable_number=None), GONE, "give_up", "failed", None, 0, "never ready",
    ),
    "blue-green begins at its preview address": (
        pending(plan=BLUE_GREEN), READY, "shift", "progressing", 0, 0, "release 17 is ready",
    ),
    "blue-green waits for a person however long": (
        unseen(BLUE_GREEN, step_started_at=ago(9_999_999)), READY,
        "wait", None, None, None, "preview (step 1 of 2): waiting for somebody to look at it and promote it",
    ),
    "blue-green by the plan holds": (
        unseen(TIMED, step_started_at=ago(30)), READY,
        "wait", None, None, None, "preview (step 1 of 2): holding",
    ),
    "blue-green by the plan switches at once, without verdict": (
        unseen(TIMED), READY, "shift", None, 1, 100, "the time to look at it is over",
    ),
    "blue-green is watched after the switch": (
        rollout(plan=TIMED, step=1, weight_pct=100, step_started_at=ago(30)),
        replace(READY, verdict=Verdict("fail", "3 % of answers were errors")),
        "give_up", "failed", None, 0, "release 16 serves everybody again",
    ),
    "blue-green's servers stay away": (
        unseen(BLUE_GREEN), GONE, "give_up", "failed", None, 0, "no server ready for 2 minutes",
    ),
    "a shadow begins unseen": (pending(plan=SHADOW), READY, "shift", "progressing", 0, 0, "is ready"),
    "a shadow is judged": (unseen(SHADOW), READY, "wait", None, None, None, "no verdict yet"),
    "a shadow holds": (
        unseen(SHADOW, step_started_at=ago(30)), replace(READY, verdict=PASS),
        "wait", None, None, None, "shadow (step 1 of 3): holding",
    ),
    "a shadow needs answers of both": (
        unseen(SHADOW), replace(READY, verdict=replace(PASS, canary_answers=20)),
        "wait", None, None, None, "needs 30 more answers from the new release",
    ),
    "a shadow that passes is shown to the first": (
        unseen(SHADOW), replace(READY, verdict=PASS), "shift", None, 1, 10, "all checks passed",
    ),
    "a shadow that fails is never seen": (
        unseen(SHADOW), replace(READY, verdict=Verdict("fail", "every list was empty")),
        "give_up", "failed", None, 0, "every list was empty",
    ),
    "an A/B test stays open whatever passes and however long": (
        rollout(plan=AB, weight_pct=50, step_started_at=ago(9_999_999)), replace(READY, verdict=PASS),
        "wait", None, None, None,
        "A/B (step 1 of 2): open until somebody concludes which release is kept; all checks pass so far",
    ),
    "an A/B test does not pause for what is inconclusive": (
        rollout(plan=AB, weight_pct=50), replace(READY, verdict=Verdict("inconclusive")),
        "wait", None, None, None, "the checks do not agree",
    ),
    "an A/B test stops when the checks fail": (
        rollout(plan=AB, weight_pct=50), replace(READY, verdict=Verdict("fail", "errors")),
        "give_up", "failed", None, 0, "errors; release 16",
    ),
    "a canary step that a person ends": (
        rollout(plan=Plan(steps=(Step(10, ends_by="person"), Step(100)))), replace(READY, verdict=PASS),
        "wait", None, None, None, "canary (step 1 of 2): waiting for somebody to take the next step",
    ),
    "rollback waits for servers that are not loaded": (
        pending(kind="rollback", plan=AT_ONCE, started_at=ago(5)), AWAY,
        "wait", None, None, None, "preparing",
    ),
    "rollback switches when they are ready": (
        pending(kind="rollback", plan=AT_ONCE), READY, "shift", "progressing", 0, 100, "",
    ),
    "rollback to what never gets ready": (
        pending(kind="rollback", plan=AT_ONCE), GONE, "give_up", "failed", None, 0, "never ready",
    ),
    "rollback confirmed": (
        ROLLBACK, replace(READY, gateways_running=2), "finish", "succeeded", None, None, "every gateway",
    ),
    "rollback waits for a gateway": (
        ROLLBACK, replace(READY, gateways_running=1, gateways_waiting=("gw-2",)),
        "wait", None, None, None, "waiting for word from gw-2",
    ),
    "rollback without any gateway waits a while": (
        ROLLBACK, READY, "wait", None, None, None, "waiting for word from any gateway",
    ),
    "rollback does not wait for ever": (
        replace(ROLLBACK, step_started_at=ago(31)), replace(READY, gateways_waiting=("gw-2",)),
        "finish", "succeeded", None, None, "no word yet from gw-2",
    ),
    "rollback's own servers away": (
        ROLLBACK, AWAY, "wait", None, None, None, "waiting for its servers: warming up",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DECISIONS)
def test_what_follows(name):
    state, observed, act, status, step, weight, words = DECISIONS[name]
    decision = plan_next(state, observed, NOW)
    assert (decision.act, decision.status, decision.step, decision.weight_pct) == (act, status, step, weight)
    assert words in decision.reason


@pytest.mark.parametrize("name", DECISIONS)
def test_a_decision_is_an_edge_of_the_rollouts_statuses(name):
    from deployments_app.models import Rollout

    state, observed, *_ = DECISIONS[name]
    to = plan_next(state, observed, NOW).status
    assert to is None or to in Rollout.TRANSITIONS[state.status]


def test_the_same_facts_give_the_same_decision():
    observed = replace(READY, verdict=PASS)
    assert plan_next(rollout(), observed, NOW) == plan_next(rollout(), observed, NOW)
