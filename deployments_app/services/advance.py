"""The rollout loop: look, decide, do one thing. It never waits; the dispatcher calls it again.

A worker may die after any line: what was seen is seen again, the act and its status are one transaction,
and an act that somebody overtook (a click, another worker) changes nothing.
"""

from datetime import datetime
from typing import Any

from django.db import transaction

from deployments_app.models import Deployment, Rollout, Workload
from deployments_app.models.rollouts import ACTIVE
from deployments_app.plan_rules import read_plan
from deployments_app.rollout_plan import Decision, Observed, RolloutState, Verdict, plan_next
from deployments_app.services.gateways import gateways_running
from deployments_app.services.locks import lock_deployment, lock_rollout
from deployments_app.services.outcomes import finish, give_up, move_to_step, note_phase, say
from deployments_app.services.traffic import switch_at_once
from deployments_app.services.workloads import look_after
from portal.core.actors import system
from portal.core.clock import database_now
from portal.core.jobs import Claim, claim, release
from portal.core.transitions import transition

EVERY_S = 1.0
LEASE_S = 6.0  # of one turn; a dead worker's rollout is taken over after that
SOON_S = 0.25  # while waiting for servers or for the gateways' word

AISLE = system("rollout")


def advance_rollout(rollout_id: str) -> None:
    """Take one step with a rollout; does nothing when it has ended or another worker is at it."""
    claimed = claim(Rollout, rollout_id, statuses=ACTIVE, lease_s=LEASE_S)
    if claimed is None:
        return
    try:
        due_in_s = _advance(claimed)
    except Exception:
        release(claimed, due_in_s=EVERY_S)
        raise
    release(claimed, due_in_s=due_in_s)


def _advance(claimed: Claim) -> float | None:
    rollout = Rollout.objects.select_related(
        "deployment__environment",
        "deployment__shop",
        "deployment__stable",
        "release__deployment__environment",
        "release__deployment__shop",
        "release__model_version__registered_model",
    ).get(pk=claimed.job.pk)
    if rollout.status not in ACTIVE:
        return None  # somebody ended it since it was claimed
    if rollout.started_at is None:
        claimed.write(started_at=database_now())
        rollout.started_at = claimed.job.started_at
    servers = look_after(rollout.release)
    now = database_now()
    decision = plan_next(_state_of(rollout), _observe(rollout, servers, now), now)
    _act(claimed, rollout, decision)
    status = Rollout.objects.values_list("status", flat=True).get(pk=rollout.pk)
    if status not in ACTIVE:
        return None
    return SOON_S if status == "pending" or rollout.kind == "rollback" or decision.act == "shift" else EVERY_S


def _state_of(rollout: Rollout) -> RolloutState:
    stable = rollout.deployment.stable
    assert rollout.started_at is not None
    return RolloutState(
        kind=rollout.kind,
        status=rollout.status,
        step=rollout.step,
        weight_pct=rollout.weight_pct,
        plan=read_plan(rollout.plan),
        release_number=rollout.release.number,
        stable_number=stable.number if stable is not None else None,
        started_at=rollout.started_at,
        step_started_at=rollout.step_started_at,
        paused_by_person=rollout.paused_at is not None,
    )


def _observe(rollout: Rollout, servers: Workload, now: datetime) -> Observed:
    running, waiting = gateways_running(rollout, now) if rollout.kind == "rollback" else (0, ())
    return Observed(
        is_ready=servers.is_ready,
        reason=servers.reason,
        not_ready_since=servers.not_ready_since,
        verdict=_newest_verdict(rollout),
        gateways_running=running,
        gateways_waiting=waiting,
    )


def _newest_verdict(rollout: Rollout) -> Verdict | None:
    """Read the newest verdict on the present step; what was found before it began does not count."""
    if rollout.step_started_at is None:
        return None
    found = (
        rollout.verdicts.filter(step=rollout.step, measured_at__gte=rollout.step_started_at)
        .order_by("-measured_at")
        .first()
    )
    if found is None:
        return None
    telling = [each for each in found.checks if each.get("verdict") == found.verdict and each.get("sentence")]
    answers: dict[str, Any] = next((each for each in found.checks if each.get("name") == "answers"), {})
    return Verdict(
        found.verdict,
        telling[0]["sentence"] if telling and found.verdict != "pass" else "",
        canary_answers=answers.get("value"),
        stable_answers=answers.get("stable"),
    )


def _act(claimed: Claim, seen: Rollout, decision: Decision) -> None:
    """Do what was decided, unless the row moved on since it was seen."""
    with transaction.atomic():
        deployment = lock_deployment(seen.shop_id, seen.deployment_id)
        rollout = lock_rollout(deployment, seen.pk)
        # Somebody clicked, or another worker has the lease: decide anew on what is true then.
        if (rollout.lock_version, rollout.attempt) != (seen.lock_version, claimed.attempt):
            return
        _do(deployment, rollout, decision)


def _do(deployment: Deployment, rollout: Rollout, decision: Decision) -> None:
    if decision.act == "wait":
        note_phase(rollout, decision.reason)
    elif decision.act == "pause":
        transition(
            rollout,
            "paused",
            actor=AISLE,
            shop=rollout.shop_id,
            reason=decision.reason[:300],
            paused_at=None,
        )
        say(rollout, decision.reason)
    elif decision.act == "shift" and rollout.kind == "rollback":
        switch_at_once(deployment, rollout)
        transition(
            rollout,
            "progressing",
            actor=AISLE,
            shop=rollout.shop_id,
            reason=f"release {rollout.release.number} is ready and serves everybody from now on",
            step_started_at=database_now(),
            weight_pct=100,
        )
    elif decision.act == "shift":
        assert decision.step is not None
        move_to_step(AISLE, deployment, rollout, decision.step, because=decision.reason)
    elif decision.act == "finish":
        finish(AISLE, deployment, rollout, because=decision.reason)
    elif decision.act == "give_up":
        give_up(AISLE, deployment, rollout, to="failed", reason=decision.reason)
