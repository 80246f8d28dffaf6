"""Environments that go: with the placements that never served, and before the row its gateways."""

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from deployments_app.models import Deployment, Environment, Gateway
from portal.core.actors import Actor
from portal.core.dispatch import enqueue_on_commit
from portal.core.errors import Conflict, NotFound
from portal.core.events import record
from portal.core.jobs import wake_fields
from portal.core.models import Shop
from portal.core.permissions import authorize


def why_not_removable(environment: Environment) -> str:
    """Say which placement keeps an environment, or nothing."""
    used = Deployment.objects.filter(Q(releases__isnull=False) | Q(promotions__isnull=False))
    first = used.filter(environment=environment).order_by("created_at").first()
    if first is None:
        return ""
    return (
        f"{environment.name} has the placement {first.name}, which has releases or requests."
        " What was approved and served stays on record, so it cannot be removed."
    )


def remove_environment(actor: Actor, shop: Shop, environment: Environment) -> None:
    """Remove an environment in which nothing was ever asked for; in a cluster its gateways go first."""
    authorize(actor, "deployments.write", shop)
    with transaction.atomic():
        # Locked for its key, too: whoever makes a placement in it waits, and then finds it gone.
        locked = Environment.objects.select_for_update().filter(shop=shop, removed_at=None)
        here = locked.filter(pk=environment.pk).first()
        if here is None:
            raise NotFound("There is no such environment here.")
        # Its placements, too: a request that is being made is seen, or finds its placement gone.
        placements = Deployment.objects.select_for_update().filter(environment=here).order_by("pk")
        slugs = sorted(each.slug for each in placements)
        problem = why_not_removable(here)
        if problem:
            raise Conflict(problem, code="environment_in_use")
        record("environment.removed", here, actor=actor, shop=shop, slug=here.slug, placements=slugs)
        Deployment.objects.filter(environment=here).delete()
        if here.namespace:
            Environment.objects.filter(pk=here.pk).update(removed_at=Now(), **wake_fields())
            enqueue_on_commit(here)
        else:
            here.delete()


def forget_environment(environment: Environment) -> None:
    """Delete the row of an environment whose gateways are gone, and what they reported."""
    with transaction.atomic():
        Gateway.objects.filter(scope=environment.pk).delete()
        Environment.objects.filter(pk=environment.pk, removed_at__isnull=False).delete()
