"""Rehearse a rollback: the same way as a real one, but only the gateways' own probes take it."""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from deployments_app.known_routes import tell_waiting_agents
from deployments_app.models import Deployment, Rehearsal
from deployments_app.routing import REHEARSED_FOR
from deployments_app.selectors import rollback_target
from deployments_app.services.locks import lock_deployment
from portal.core.actors import Actor
from portal.core.errors import Conflict
from portal.core.events import record
from portal.core.models import Shop
from portal.core.permissions import authorize

PAUSE = REHEARSED_FOR + timedelta(seconds=2)  # until the last one has left every gateway


def rehearse_rollback(
    actor: Actor, shop: Shop, deployment: Deployment, received_at: datetime | None = None
) -> Rehearsal:
    """Have every gateway lead its probes where one press of Roll back would lead shoppers, and measure it.

    Raises Conflict when there is nowhere to go back to, its servers are not loaded, or a rollout or another
    rehearsal is under way.
    """
    authorize(actor, "rollouts.rollback", shop)
    received_at = received_at or timezone.now()
    with transaction.atomic():
        locked = lock_deployment(shop, deployment.pk)
        target = rollback_target(locked)
        if target.release is None or locked.stable is None:
            raise Conflict(
                f"There is nothing to rehearse. {target.cannot or ''}".strip(), code="nothing_to_rehearse"
            )
        if target.release.pk == locked.stable_id:
            raise Conflict(
                "A rollout is under way, and one press calls it off; rehearse when it has ended.",
                code="rollout_active",
            )
        if not target.is_warm:
            raise Conflict(
                f"The servers of release {target.release.number} are not loaded, so a rollback would start "
                "them first; that cannot be rehearsed without loading them.",
                code="not_loaded",
            )
        if locked.rehearsals.filter(received_at__gt=received_at - PAUSE).exists():
            raise Conflict("A rehearsal is under way. Try again in a few seconds.", code="rehearsal_active")
        made = Rehearsal.objects.create(
            shop_id=locked.shop_id,
            deployment=locked,
            from_release=locked.stable,
            to_release=target.release,
            received_at=received_at,
            created_by=actor.user,
        )
        tell_waiting_agents()
        record(
            "rollback.rehearsed",
            made,
            actor=actor,
            shop=locked.shop_id,
            reason=f"a rollback to release {target.release.number}, by probes alone",
            deployment=locked.pk,
            release=target.release.pk,
        )
    return made
