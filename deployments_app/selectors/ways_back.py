"""What can be done to a rollout, and where a rollback leads."""

from dataclasses import dataclass

from django.db.models import Q

from deployments_app.models import Deployment, Release, Rollout, Workload
from deployments_app.models.rollouts import ACTIVE

_ACTIONS = {
    "pending": ("abort",),
    "progressing": ("pause", "step", "promote", "abort"),
    "paused": ("resume", "step", "promote", "abort"),
}


def allowed_actions(rollout: Rollout) -> tuple[str, ...]:
    """Name what can be done to a rollout now: pause, resume, step, promote, conclude, abort."""
    if rollout.kind == "rollback":
        return ("abort",) if rollout.status == "pending" else ()
    allowed = _ACTIONS.get(rollout.status, ())
    if rollout.plan.get("strategy") == "ab" and "step" in allowed:
        # Two arms side by side: the only way on is to say which one stays.
        return tuple({"step": "conclude"}.get(each, each) for each in allowed if each != "promote")
    return allowed


@dataclass(frozen=True)
class LastRollouts:
    """A placement's rollouts that tell where one press leads, and how long the last one took."""

    active: Rollout | None  # under way
    live: Rollout | None  # the newest that succeeded
    measured: Rollout | None  # the newest rollback whose time was measured


def last_rollouts(deployment: Deployment) -> LastRollouts:
    """Find all three in one query."""
    mine = Rollout.objects.filter(deployment=deployment).order_by("-created_at")
    is_measured = Q(kind="rollback") & ~Q(measured={})
    wanted = Q()
    for which in (Q(status__in=ACTIVE), Q(status="succeeded"), is_measured):
        wanted |= Q(pk__in=mine.filter(which).values("pk")[:1])
    rows = list(mine.filter(wanted).select_related("release", "from_release"))
    return LastRollouts(
        active=next((each for each in rows if each.status in ACTIVE), None),
        live=next((each for each in rows if each.status == "succeeded"), None),
        measured=next((each for each in rows if each.kind == "rollback" and each.measured), None),
    )


@dataclass(frozen=True)
class RollbackTarget:
    """Where one click leads; `cannot` says why there is nothing to click."""

    release: Release | None
    is_warm: bool = False
    leaves: Release | None = None  # what shoppers see today and will not any more
    share_pct: int = 100  # of shoppers who will see a change
    cannot: str | None = None


def rollback_target(deployment: Deployment, seen: LastRollouts | None = None) -> RollbackTarget:
    """Find where `roll_back` without a named release would lead now. seen: what was read already."""
    seen = last_rollouts(deployment) if seen is None else seen
    active = seen.active
    if active is not None and active.kind == "rollback":
        return RollbackTarget(
            None, cannot=f"A rollback to release {active.release.number} is under way already."
        )
    if active is not None:
        if deployment.stable is None:
            return RollbackTarget(None, cannot="Nothing served here before; abort the rollout instead.")
        return RollbackTarget(
            deployment.stable,
            is_warm=is_warm(deployment.stable),
            leaves=active.release,
            share_pct=deployment.canary_weight_pct,
        )
    return _last_good_target(deployment, seen.live)


def _last_good_target(deployment: Deployment, last: Rollout | None) -> RollbackTarget:
    if deployment.stable is None:
        return RollbackTarget(None, cannot="Nothing serves here yet, so there is nothing to roll back.")
    if deployment.last_good is None:
        return RollbackTarget(
            None, cannot=f"Release {deployment.stable.number} is the first here: there is no earlier one."
        )
    if last is not None and last.kind == "rollback" and last.release_id == deployment.stable_id:
        return RollbackTarget(
            None,
            cannot=f"Release {deployment.stable.number} is live since a rollback. To go to release "
            f"{deployment.last_good.number} again, name it.",
        )
    return RollbackTarget(
        deployment.last_good, is_warm=is_warm(deployment.last_good), leaves=deployment.stable
    )


def is_warm(release: Release) -> bool:
    """Tell whether a release's servers are loaded and ready, as they were read with it or are now."""
    servers: Workload | None
    if Release.workload.is_cached(release):
        servers = getattr(release, "workload", None)
    else:
        servers = Workload.objects.filter(release_id=release.pk).first()
    return servers is not None and servers.is_wanted and servers.ready > 0
