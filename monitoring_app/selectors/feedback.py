"""Reads of what shoppers did with the lists of each release."""

from monitoring_app.models import FeedbackWindow
from monitoring_app.selectors import live_deployment
from portal.core.actors import Actor
from portal.core.models import Shop


def window_of(actor: Actor, shop: Shop, deployment_id: str) -> FeedbackWindow:
    """Read how long an answer is spoken for at a placement of the shop; raises NotFound."""
    deployment = live_deployment(actor, shop, deployment_id)
    found = FeedbackWindow.objects.filter(deployment=deployment).first()
    return found or FeedbackWindow(deployment=deployment)
