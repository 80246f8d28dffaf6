"""Reads of the kernel's rows."""

from django.db.models import QuerySet

from portal.core.actors import Actor
from portal.core.models import Event, Membership, Shop
from portal.core.permissions import authorize, is_permitted


def visible_events(actor: Actor, shop: Shop) -> QuerySet[Event]:
    """The shop's events the actor may see: an approver, operator or admin all, others their own."""
    authorize(actor, "events.read", shop)
    events = Event.objects.filter(shop=shop).order_by("-created_at", "-pk")
    if is_permitted(actor, "events.read_all", shop):
        return events
    return events.filter(actor_id=actor.id)


def visible_members(actor: Actor, shop: Shop) -> QuerySet[Membership]:
    """Everybody who belongs to the shop."""
    authorize(actor, "people.read", shop)
    return Membership.objects.filter(shop=shop).select_related("user").order_by("-created_at", "-pk")


def object_feed(shop: Shop, *object_ids: str) -> QuerySet[Event]:
    """What happened to these objects, newest first. The caller has authorised seeing the objects."""
    return Event.objects.filter(shop=shop, object_id__in=object_ids).order_by("-created_at", "-pk")
