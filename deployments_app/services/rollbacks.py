"""Roll back by one click: the weights change in the click's own transaction, the loop only confirms."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from deployments_app.models import Deployment, Release, Rollout
from deployments_app.plan_rules import AT_ONCE
from deployments_app.selectors import is_warm, rollback_target
from deployments_app.services.locks import lock_deployment
from deployments_app.services.outcomes import give_up
from deployments_app.services.starts import active_rollout_of
from deployments_app.services.traffic import new_salt, switch_at_once
from deployments_app.services.workloads import wake_deployment
from portal.core.actors import Actor
from portal.core.clock import database_now
from portal.core.dispatch import enqueue_on_commit
from portal.core.errors import Conflict, NotFound
from portal.core.events import record
from portal.core.jobs import wake_fields
from portal.core.models import Shop
from portal.core.permissions import authorize


def roll_back(
    actor: Actor,
    shop: Shop,
    deployment: Deployment,
    to_release: str | None = None,
    received_at: datetime | None = None,
    because: str = "",
    only_while: str | None = None,
) -> Rollout:
    """Give everybody an earlier release, now if its servers are loaded, else as soon as they are.

    to_release: id of a release of this placement; None is the last good one, or, while a rollout is under
    way, the stable one. received_at: when the click arrived, from which the time is measured.
    because: why, where it is known at once. only_while: id of the release that must serve everybody, with
    nothing under way, else it is a Conflict: what Aisle does by itself must not overtake a person.
    """
    authorize(actor, "rollouts.rollback", shop)
    received_at = received_at or timezone.now()
    with transaction.atomic():
        locked = lock_deployment(shop, deployment.pk)
        active = active_rollout_of(locked)
        if only_while is not None and (active is not None or locked.stable_id != only_while):
            raise Conflict("Something else serves or is under way by now.", code="overtaken")
        target = _target(locked, active, to_release)
        leaves = _leaves(locked, active)
        if active is not None:
            give_up(
                actor,
                locked,
                active,
                to="aborted",
                reason=f"{actor.label} rolled back to release {target.number}",
                makes_way=True,
            )
        return _begin(actor, locked, target, leaves, received_at, because)


def _begin(
    actor: Actor,
    deployment: Deployment,
    target: Release,
    leaves: Release | None,
    received_at: datetime,
    because: str,
) -> Rollout:
    warm, now = is_warm(target), database_now()
    if warm:
        reason = f"release {target.number} serves everybody from now on"
    else:
        reason = f"preparing: release {target.number} is not loaded any more; its servers are started first"
    rollout = Rollout.objects.create(
        shop_id=deployment.shop_id,
        deployment=deployment,
        kind="rollback",
        release=target,
        from_release=leaves,
        status="progressing" if warm else "pending",
        reason=reason,
        plan=AT_ONCE.to_json(),
        weight_pct=100 if warm else 0,
        salt=new_salt(),
        created_at=now,
        step_started_at=now if warm else None,
        created_by=actor.user,
        received_at=received_at,
        note=because,
        **wake_fields(),
    )
    if warm:
        switch_at_once(deployment, rollout)
    else:
        wake_deployment(deployment)
    record(
        "rollout.rolled_back",
        rollout,
        actor=actor,
        shop=deployment.shop_id,
        to_status=rollout.status,
        reason=f"{because} {reason[:1].upper()}{reason[1:]}" if because else reason,
        deployment=deployment.pk,
        release=target.pk,
        from_release=leaves.pk if leaves is not None else None,
    )
    enqueue_on_commit(rollout)
    return rollout


def _target(deployment: Deployment, active: Rollout | None, to_release: str | None) -> Release:
    """Find where it leads; raises Conflict when there is nothing to do."""
    if active is not None and active.kind == "rollback" and to_release in (None, active.release_id):
        raise Conflict(
            f"A rollback to release {active.release.number} is under way already.",
            code="rollback_active",
            current=active.status,
            rollout=active.pk,
        )
    if to_release is None:
        found = rollback_target(deployment)
        if found.release is None:
            raise Conflict(found.cannot or "There is nothing to roll back to.", code="nothing_to_roll_back")
        return found.release
    target = Release.objects.filter(deployment=deployment, pk=to_release).first()
    if target is None:
        raise NotFound(f"There is no such release at {deployment.name}.")
    if target.pk == deployment.stable_id and active is None:
        raise Conflict(
            f"Release {target.number} serves everybody already; nothing was changed.",
            code="already_live",
            current="live",
        )
    if active is not None and active.kind == "promote" and target.pk == active.release_id:
        raise Conflict(
            f"{active} is under way. To give it to everybody, promote it; to go back, name an earlier "
            "release.",
            code="rollout_active",
            current=active.status,
            rollout=active.pk,
        )
    served = Rollout.objects.filter(deployment=deployment, release=target, status="succeeded").exists()
    if not served:
        raise Conflict(
            f"Release {target.number} has never served everybody here, so it is no release to go back to.",
            code="never_served",
        )
    return target


def _leaves(deployment: Deployment, active: Rollout | None) -> Release | None:
    """Tell which release shoppers see less of after this: the canary's, or the stable one."""
    if active is not None and active.kind == "promote":
        return active.release
    return deployment.stable
