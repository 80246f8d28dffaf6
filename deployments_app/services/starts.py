"""From an approved request to a release and its rollout."""

from dataclasses import asdict

from django.db import transaction
from django.db.models import Max

from deployments_app.models import Deployment, Promotion, Release, Rollout
from deployments_app.models.rollouts import ACTIVE
from deployments_app.plan_rules import AT_ONCE, read_plan
from deployments_app.services.expiry import STALE, set_aside
from deployments_app.services.locks import lock_deployment
from deployments_app.services.traffic import new_salt
from deployments_app.services.workloads import wake_deployment
from portal.core.actors import Actor, system
from portal.core.clock import database_now
from portal.core.dispatch import enqueue_on_commit
from portal.core.errors import Conflict, InvalidTransition, NotFound
from portal.core.events import record
from portal.core.jobs import wake_fields
from portal.core.models import Shop
from portal.core.permissions import authorize
from portal.core.transitions import check_lock_version


def start_rollout(actor: Actor, shop: Shop, promotion: Promotion, lock_version: int | None = None) -> Rollout:
    """Start an approved request's rollout: one that waited for another rollout, or whose last one failed."""
    authorize(actor, "rollouts.operate", shop)
    with transaction.atomic():
        deployment = lock_deployment(shop, promotion.deployment_id)
        asked = Promotion.objects.select_for_update(no_key=True).filter(shop=shop, pk=promotion.pk).first()
        if asked is None:
            raise NotFound("There is no such promotion request here.")
        check_lock_version(asked, lock_version)
        if asked.status != "approved":
            raise InvalidTransition(
                f"This request is {asked.status}; only an approved one can be started.",
                current=asked.status,
                allowed=[],
            )
        active = active_rollout_of(deployment)
        if active is not None:
            raise Conflict(
                f"{active} is {active.status} here. Wait for its end or abort it, then start this one.",
                code="rollout_active",
                rollout=active.pk,
                current=active.status,
            )
        return launch(actor, deployment, asked)


def active_rollout_of(deployment: Deployment) -> Rollout | None:
    """Find what is under way at a deployment; the caller holds its lock, so it stays true."""
    return (
        Rollout.objects.select_for_update(of=("self",), no_key=True)
        .select_related("release", "from_release", "promotion")
        .filter(deployment=deployment, status__in=ACTIVE)
        .first()
    )


def launch(actor: Actor, deployment: Deployment, promotion: Promotion) -> Rollout:
    """Create release and rollout of an approved request; the caller holds the deployment's lock."""
    release = _release_for(deployment, promotion)
    rollout = Rollout.objects.create(
        shop_id=deployment.shop_id,
        deployment=deployment,
        kind="promote",
        release=release,
        from_release=deployment.stable,
        promotion=promotion,
        # Where nothing serves there is nothing to compare with and nobody to protect.
        plan=promotion.plan if deployment.stable_id is not None else AT_ONCE.to_json(),
        salt=new_salt(),
        created_by=actor.user,
        created_at=database_now(),
        reason="preparing: the servers are being started",
        **wake_fields(),
    )
    record(
        "rollout.started",
        rollout,
        actor=actor,
        shop=deployment.shop_id,
        to_status="pending",
        reason=f"{promotion.model_version} goes to {deployment.name} as release {release.number}",
        deployment=deployment.pk,
        release=release.pk,
        promotion=promotion.pk,
    )
    enqueue_on_commit(rollout)
    wake_deployment(deployment)
    return rollout


def start_next_approved(deployment: Deployment, *, after_rollback: bool = False) -> Rollout | None:
    """Start the request that has waited longest for its turn; the caller holds the deployment's lock.

    Those that were approved behind a rollout were so in view of it. After a rollback another release may be
    live than anybody had in view: what was compared with a later one is set aside.
    """
    waiting = (
        Promotion.objects.select_for_update(of=("self",), no_key=True)
        .filter(deployment=deployment, status="approved", rollouts=None)
        .order_by("decided_at")
    )
    for promotion in waiting:
        if after_rollback and promotion.champion_id != deployment.stable_id:
            set_aside(promotion, STALE)
        else:
            return launch(system("rollout"), deployment, promotion)
    return None


def _release_for(deployment: Deployment, promotion: Promotion) -> Release:
    """Take the release of the request's earlier attempt, or number a new one."""
    earlier = promotion.rollouts.select_related("release").order_by("created_at").first()
    if earlier is not None:
        return earlier.release
    # The deployment is locked, so the number is free; the unique constraint is the net.
    last = Release.objects.filter(deployment=deployment).aggregate(last=Max("number"))["last"] or 0
    approvals = promotion.reviews.filter(verdict="approve").select_related("reviewer").order_by("created_at")
    return Release.objects.create(
        deployment=deployment,
        number=last + 1,
        model_version=promotion.model_version,
        config={"promotion": promotion.pk, **asdict(read_plan(promotion.plan).servers)},
        artifact_digest=promotion.artifact_digest,
        approved_by=[each.reviewer.label for each in approvals],
        created_at=database_now(),
    )
