"""Locks, always parent before child: deployment, then request, then rollout.

All are FOR NO KEY UPDATE: nobody changes a key here, and rows that merely point at a locked one (counts of
a gateway, say) can still be written and committed meanwhile.
"""

from deployments_app.models import Deployment, Promotion, Rollout
from portal.core.errors import NotFound
from portal.core.models import Shop


def lock_deployment(shop: Shop | str, pk: str) -> Deployment:
    """Hold a deployment for this transaction; whoever changes routes or rollouts of it holds it."""
    found = (
        Deployment.objects.select_for_update(of=("self",), no_key=True)
        .select_related("environment", "stable", "canary", "last_good")
        .filter(pk=pk, shop_id=shop if isinstance(shop, str) else shop.pk)
        .first()
    )
    if found is None:
        raise NotFound("There is no such placement here.")
    return found


def lock_promotion(deployment: Deployment, pk: str) -> Promotion:
    """Hold a request; the caller holds its deployment."""
    return (
        Promotion.objects.select_for_update(of=("self",), no_key=True)
        .select_related("model_version__registered_model")
        .get(pk=pk, deployment=deployment)
    )


def lock_rollout(deployment: Deployment, pk: str) -> Rollout:
    """Hold a rollout; the caller holds its deployment."""
    rollout = (
        Rollout.objects.select_for_update(of=("self",), no_key=True)
        .select_related("release", "from_release", "promotion")
        .get(pk=pk, deployment=deployment)
    )
    rollout.deployment = deployment
    return rollout
