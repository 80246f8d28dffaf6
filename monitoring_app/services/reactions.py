"""What Aisle does by itself about what it measured: roll a release back that fails after it went live.

The measuring stage looks, the acting stage acts: this module is where the arrow back in time is an ordinary
call. It acts once: whatever serves after a rollback was not promoted, and only promotions are watched; and
within the cool-down after one automatic rollback of a placement it raises an alert instead of a second.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Q

from deployments_app.models import Deployment, Rollout
from deployments_app.models.rollouts import ACTIVE
from deployments_app.plan_rules import MAX_WATCH_S, Plan, read_plan
from deployments_app.selectors import is_warm
from deployments_app.services.rollbacks import roll_back
from deployments_app.services.verdicts import record_watch
from monitoring_app.analysis import WATCH_CHECKS, judge
from monitoring_app.checks import FAIL, PASS, Facts
from monitoring_app.selectors import ArmNumbers, numbers_between, numbers_since
from monitoring_app.services.alerts import raise_alert, resolve_alert
from portal.core.actors import system
from portal.core.clock import database_now
from portal.core.errors import Conflict

COOL_DOWN = timedelta(hours=1)
LATELY = timedelta(minutes=2)  # trouble that begins late must not drown in what was good before
SUSTAINED = timedelta(seconds=10)  # a failure has to last, longer than a server takes to be started again
RECENTLY = timedelta(seconds=8)
COMPARED_WITH = timedelta(hours=1)  # of the release before, up to the switch
SLACK = 3.0  # hours and loads differ: how many times slower than a step allows it may be than before
KIND = "live_checks"
FASTER = frozenset({"overtaken", "rollback_active", "already_live"})  # a person, or another gateway's report
AISLE = system("reactions")


def watch_live(deployment_ids: Iterable[str]) -> None:
    """Judge what went live lately at these deployments, and roll back what fails beyond doubt."""
    now = database_now()
    fresh = Rollout.objects.filter(
        deployment_id__in=list(deployment_ids),
        kind="promote",
        status="succeeded",
        from_release__isnull=False,
        finished_at__gt=now - timedelta(seconds=MAX_WATCH_S),
    ).select_related("deployment__shop", "deployment__last_good", "release", "from_release")
    for rollout in fresh:
        plan = read_plan(rollout.plan)
        if _is_watched(rollout, plan, now):
            watch_release(rollout, plan, now)


def watch_release(rollout: Rollout, plan: Plan, now: datetime) -> None:
    """Judge a release that serves everybody by its answers since then, and by those of the last minutes."""
    assert rollout.finished_at is not None
    assert rollout.from_release_id is not None
    began = rollout.finished_at
    before = numbers_between(rollout.from_release_id, rollout.created_at - COMPARED_WITH, began, now)
    since = [began] if began > now - LATELY else [now - LATELY, began]
    for start in since:
        numbers = numbers_since(rollout.release_id, start, now)
        verdict, checks = judge(_facts(numbers, before, start, plan, now), WATCH_CHECKS)
        if verdict == FAIL:
            break
    found = record_watch(rollout, verdict, checks)
    if verdict == PASS:
        resolve_alert(rollout.deployment, KIND, f"{rollout.release} passes every check after it went live")
    if verdict != FAIL or now - found.created_at < SUSTAINED:
        return
    failing = next(check for check in checks if check["verdict"] == FAIL)
    if failing["name"] == "errors" and _answers_again(rollout.release_id, now):
        return
    _go_back(rollout, failing["sentence"], now)


def _answers_again(release_id: str, now: datetime) -> bool:
    """Tell whether errors are over: a server that died once is started again, which is no reason to go."""
    recent = numbers_since(release_id, now - RECENTLY, now)
    return recent.requests > 0 and recent.errors == 0


def _is_watched(rollout: Rollout, plan: Plan, now: datetime) -> bool:
    """Tell whether this promotion is what serves, undisturbed, and its watch is not over."""
    deployment = rollout.deployment
    if rollout.finished_at is None or now - rollout.finished_at > timedelta(seconds=plan.watch_s):
        return False
    if deployment.stable_id != rollout.release_id or deployment.last_good_id != rollout.from_release_id:
        return False
    newer = Q(created_at__gt=rollout.created_at) | Q(status__in=ACTIVE)
    return not Rollout.objects.filter(newer, deployment=deployment).exists()


def _facts(numbers: ArmNumbers, before: ArmNumbers, start: datetime, plan: Plan, now: datetime) -> Facts:
    return Facts(
        canary=numbers,
        stable=before if before.requests else None,
        min_answers=0,
        since_s=(now - start).total_seconds(),
        limits=plan.checks,
        slack=SLACK,
    )


def _go_back(rollout: Rollout, why: str, now: datetime) -> None:
    deployment, bad = rollout.deployment, rollout.release
    if _rolled_back_lately(deployment, now):
        minutes = round(COOL_DOWN.total_seconds() / 60)
        raise_alert(
            deployment,
            bad,
            KIND,
            f"Release {bad.number} fails after it went live: {why}. It was not rolled back by itself, because"
            f" that happened here within the last {minutes} minutes already. Look at it and decide.",
        )
        return
    target = deployment.last_good
    assert target is not None
    if not is_warm(target):
        raise_alert(
            deployment,
            bad,
            KIND,
            f"Release {bad.number} fails after it went live: {why}. Release {target.number} is not loaded any"
            " more, so nothing was done. Roll back to load it again.",
        )
        return
    try:
        roll_back(
            AISLE,
            deployment.shop,
            deployment,
            to_release=target.pk,
            received_at=now,
            because=f"Release {bad.number} failed after it went live: {why}.",
            only_while=bad.pk,
        )
    except Conflict as error:
        if error.code not in FASTER:
            raise
        return
    raise_alert(
        deployment,
        bad,
        KIND,
        f"Release {bad.number} was rolled back to release {target.number} by itself: {why}.",
    )


def _rolled_back_lately(deployment: Deployment, now: datetime) -> bool:
    return Rollout.objects.filter(
        deployment=deployment, kind="rollback", created_by=None, created_at__gt=now - COOL_DOWN
    ).exists()
