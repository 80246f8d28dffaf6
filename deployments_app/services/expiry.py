"""Requests whose evidence no longer holds: expired, or about another champion than the one that is live."""

from django.db import transaction
from django.utils import timezone

from deployments_app.models import Deployment, Promotion, Rollout
from deployments_app.models.rollouts import ACTIVE
from portal.core.actors import system
from portal.core.transitions import transition

STALE = "the champion changed since this evidence"
EXPIRED = "nobody decided before it expired"


def close_outdated_requests(deployment_id: str) -> int:
    """Set open requests aside that can no longer be approved; returns how many stay open.

    While a rollout is under way nothing is set aside: what it changes may change back.
    """
    open_here = Promotion.objects.filter(deployment_id=deployment_id, status="open")
    if not open_here.exists():
        return 0
    with transaction.atomic():
        deployment = Deployment.objects.select_for_update(no_key=True).get(pk=deployment_id)
        if not Rollout.objects.filter(deployment=deployment, status__in=ACTIVE).exists():
            for promotion in open_here.select_for_update(no_key=True).order_by("pk"):
                set_aside_if_outdated(deployment, promotion)
        return open_here.count()


def set_aside_if_outdated(deployment: Deployment, promotion: Promotion) -> bool:
    """Supersede an open request that expired or went stale; the caller holds both rows' locks."""
    if promotion.expires_at <= timezone.now():
        reason = EXPIRED
    elif promotion.champion_id != deployment.stable_id:
        reason = STALE
    else:
        return False
    set_aside(promotion, reason)
    return True


def set_aside(promotion: Promotion, reason: str) -> None:
    """Supersede a request; the caller holds its lock."""
    transition(
        promotion,
        "superseded",
        actor=system("requests"),
        shop=promotion.shop_id,
        reason=reason,
        decided_at=timezone.now(),
    )
