"""Write to the audit chain."""

from typing import Any

from django.db import models

from portal.core.actors import Actor
from portal.core.models import Event, Shop


def record(
    verb: str,
    obj: models.Model,
    *,
    actor: Actor,
    shop: Shop | str,
    reason: str = "",
    from_status: str = "",
    to_status: str = "",
    **data: Any,
) -> Event:
    """Append one event; call it in the transaction of the change it tells of."""
    return Event.objects.create(
        shop_id=shop if isinstance(shop, str) else shop.pk,
        verb=verb,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_label=actor.label[:160],
        object_type=obj._meta.model_name or "",
        object_id=str(obj.pk),
        object_label=str(obj)[:160],
        from_status=from_status,
        to_status=to_status,
        reason=reason,
        data=data,
        request_id=actor.request_id,
    )
