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
    """Set open requests aside that can no longer be approved; returns how many.

    While a rollout is under way nothing is set aside: what it changes may change back.
    """
    if not Promotion.objects.filter(deployment_id=deployment_id, status="open").exists():
        return 0
    with transaction.atomic():
        deployment = Deployment.objects.select_for_update().get(pk=deployment_id)
        if Rollout.objects.filter(deployment=deployment, status__in=ACTIVE).exists():
            return 0
        return sum(
            set_aside_if_outdated(deployment, promotion)
            for promotion in Promotion.objects.select_for_update()
            .filter(deployment=deployment, status="open")
            .order_by("pk")
        )


def set_aside_if_outdated(deployment: Deployment, promotion: Promotion) -> bool:
    """Supersede an open request that expired or went stale; the caller holds both rows' locks."""
    if promotion.expires_at <= timezone.now():
        reason = EXPIRED
    elif promotion.champion_id != deployment.stable_id:
        reason = STALE
    else:
        return False
    transition(
        promotion,
        "superseded",
        actor=system("requests"),
        shop=promotion.shop_id,
        reason=reason,
        decided_at=timezone.now(),
    )
    return True
