"""What can be done to a rollout, and where a rollback leads."""

from dataclasses import dataclass

from deployments_app.models import Deployment, Release, Rollout, Workload
from deployments_app.selectors.rows import active_rollout

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
class RollbackTarget:
    """Where one click leads; `cannot` says why there is nothing to click."""

    release: Release | None
    is_warm: bool = False
    leaves: Release | None = None  # what shoppers see today and will not any more
    share_pct: int = 100  # of shoppers who will see a change
    cannot: str | None = None


def rollback_target(deployment: Deployment) -> RollbackTarget:
    """Find where `roll_back` without a named release would lead now."""
    is_known_idle = getattr(deployment, "active_rollout_id", "") is None
    active = None if is_known_idle else active_rollout(deployment)
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
    return _last_good_target(deployment)


def _last_good_target(deployment: Deployment) -> RollbackTarget:
    if deployment.stable is None:
        return RollbackTarget(None, cannot="Nothing serves here yet, so there is nothing to roll back.")
    if deployment.last_good is None:
        return RollbackTarget(
            None, cannot=f"Release {deployment.stable.number} is the first here: there is no earlier one."
        )
    last = Rollout.objects.filter(deployment=deployment, status="succeeded").order_by("-created_at").first()
    if last is not None and last.kind == "rollback" and last.release_id == deployment.stable_id:
        return RollbackTarget(
            None,
            cannot=f"Release {deployment.stable.number} is live since a rollback. To go to release "
            f"{deployment.last_good.number} again, name it.",
        )
    return RollbackTarget(
        deployment.last_good, is_warm=is_warm(deployment.last_good), leaves=deployment.stable
    )


def last_rollback(deployment: Deployment) -> Rollout | None:
    """The newest rollback of a placement whose time was measured."""
    rows = Rollout.objects.filter(deployment=deployment, kind="rollback").exclude(measured={})
    return rows.order_by("-created_at").first()


def is_warm(release: Release) -> bool:
    """Tell whether a release's servers are loaded and ready, as they were read with it or are now."""
    servers: Workload | None
    if Release.workload.is_cached(release):
        servers = getattr(release, "workload", None)
    else:
        servers = Workload.objects.filter(release_id=release.pk).first()
    return servers is not None and servers.is_wanted and servers.ready > 0
