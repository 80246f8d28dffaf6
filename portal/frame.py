"""Facts of the stages that the frame around every page shows, and those an earlier stage's page needs."""

from typing import Any

from deployments_app.models import Deployment, Promotion
from models_app.models import ModelVersion
from monitoring_app.models import Alert
from monitoring_app.selectors.consistency import firing_alerts
from portal.core.models import Shop
from portal.core.permissions import is_permitted
from portal.core.requests import ShopRequest
from portal.jobs import running_jobs


def live_version(shop: Shop) -> ModelVersion | None:
    """The version that serves the placement that went live last."""
    newest = (
        Deployment.objects.filter(shop=shop, stable__isnull=False)
        .select_related("stable__model_version__registered_model")
        .order_by("-live_since")
        .first()
    )
    return newest.stable.model_version if newest is not None and newest.stable is not None else None


def waiting_approvals(request: ShopRequest) -> int:
    """Count the open requests that this person could decide."""
    if not is_permitted(request.actor, "promotions.review", request.shop):
        return 0
    return (
        Promotion.objects.filter(shop=request.shop, status="open").exclude(requested_by=request.user).count()
    )


def jobs(request: ShopRequest) -> list[dict[str, Any]]:
    """List the shop's unfinished jobs for the tray."""
    return running_jobs(request.shop)


def alerts(request: ShopRequest) -> list[Alert]:
    """List what is wrong in this shop and nobody has acknowledged."""
    return firing_alerts(request.actor, request.shop)
