"""Measure the present step of active rollouts, and hand the verdict over to the stage that acts."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from deployments_app.models import AnalysisVerdict, Rollout
from deployments_app.plan_rules import read_plan
from deployments_app.services.verdicts import record_verdict
from monitoring_app.analysis import judge
from monitoring_app.checks import Facts, Reactions
from monitoring_app.selectors import ArmNumbers, numbers_since, pairs_of
from monitoring_app.selectors.consistency import parity_since, silences
from monitoring_app.selectors.feedback import reactions_since, usual_reaction
from portal.core.clock import database_now

JUDGE_EVERY = timedelta(seconds=1)


def judge_rollouts(deployment_ids: Iterable[str]) -> None:
    """Judge every promotion under way at these deployments, at most once a second each.

    A paused one as well: shoppers still see the new release, so a failure has to end that. Whatever else is
    found of it changes nothing until somebody resumes it.
    """
    now = database_now()
    rollouts = Rollout.objects.filter(
        deployment_id__in=list(deployment_ids), status__in=("progressing", "paused"), kind="promote"
    )
    for rollout in rollouts.select_related("deployment"):
        newest = (
            AnalysisVerdict.objects.filter(rollout=rollout, step=rollout.step)
            .order_by("-measured_at")
            .first()
        )
        if newest is None or now - newest.measured_at >= JUDGE_EVERY:
            judge_rollout(rollout, now)


def judge_rollout(rollout: Rollout, now: datetime) -> None:
    """Judge the rollout's present step from what its arms did since the step began."""
    plan = read_plan(rollout.plan)
    step = plan.steps[rollout.step]
    if rollout.step_started_at is None or not step.is_measured:
        return
    canary = numbers_since(rollout.release_id, rollout.step_started_at, now)
    stable = None
    if rollout.from_release_id is not None and rollout.weight_pct < 100:
        stable = numbers_since(rollout.from_release_id, rollout.step_started_at, now)
    asked = [rollout.release_id] if stable is None else [rollout.release_id, rollout.from_release_id]
    silent = silences(rollout.deployment_id, asked)
    verdict, checks = judge(
        Facts(
            canary=canary,
            stable=stable,
            min_answers=step.min_answers,
            since_s=(now - rollout.step_started_at).total_seconds(),
            limits=plan.checks,
            # What is not counted has no share that was clicked.
            reactions=None if silent else _reactions(rollout, canary, stable, now),
            parity=parity_since(rollout.release_id, rollout.created_at),
            pairs=pairs_of(rollout.pk) if step.mirror_pct else None,
            silent=silent,
        )
    )
    record_verdict(rollout.pk, rollout.step, verdict, checks)


def _reactions(
    rollout: Rollout, canary: ArmNumbers, stable: ArmNumbers | None, now: datetime
) -> Reactions | None:
    """Read what shoppers did with both arms' lists since the step began, and usually do.

    All three by what was shown, or all three by what was given out: else they could not be compared.
    """
    if stable is None or rollout.from_release_id is None or rollout.step_started_at is None:
        return None
    if rollout.weight_pct == 0:  # nobody sees the new release's lists, so nobody can click them
        return None
    given_out = {rollout.release_id: canary.to_shoppers, rollout.from_release_id: stable.to_shoppers}
    place, live = rollout.deployment_id, rollout.from_release_id
    for by_shown in (True, False):
        found = reactions_since(place, given_out, rollout.step_started_at, now, by_shown=by_shown)
        usual = usual_reaction(place, live, now, by_shown=by_shown)
        if found[live].is_shown == usual.is_shown:
            break
    return Reactions(found[rollout.release_id], found[live], usual)
