"""How long after an answer a click or a purchase still speaks for it."""

from django.db import transaction

from monitoring_app.models import FeedbackWindow
from monitoring_app.selectors import live_deployment
from portal.core.actors import Actor
from portal.core.errors import InvalidInput
from portal.core.events import record
from portal.core.models import Shop
from portal.core.permissions import authorize

MAX_S = 30 * 86_400


def set_window(
    actor: Actor, shop: Shop, deployment_id: str, *, click_s: int, purchase_s: int
) -> FeedbackWindow:
    """Set a placement's windows; they count for events that arrive from now on."""
    deployment = live_deployment(actor, shop, deployment_id)
    authorize(actor, "deployments.write", shop)
    if not (1 <= click_s <= MAX_S and 1 <= purchase_s <= MAX_S):
        raise InvalidInput(f"A window is 1 to {MAX_S:,} seconds long.")
    with transaction.atomic():
        window, _ = FeedbackWindow.objects.update_or_create(
            deployment=deployment, defaults={"click_s": click_s, "purchase_s": purchase_s}
        )
        record(
            "deployment.windows_set",
            deployment,
            actor=actor,
            shop=shop,
            reason=f"clicks count for {click_s:,} s after an answer, purchases for {purchase_s:,} s",
            click_s=click_s,
            purchase_s=purchase_s,
        )
    return window
