"""Reads of consistency checks and alerts."""

from collections.abc import Collection
from datetime import datetime
from itertools import chain

from django.db.models import QuerySet

from deployments_app.models import Deployment
from monitoring_app.checks import Parity
from monitoring_app.models import Alert, Collector, ConsistencyCheck, ConsistencyWatch
from monitoring_app.silence import Silence, read_silences
from portal.core.actors import Actor
from portal.core.models import Shop
from portal.core.permissions import authorize, is_permitted


def consistency_checks(deployment: Deployment) -> QuerySet[ConsistencyCheck]:
    """List a deployment's checks, newest first."""
    return (
        ConsistencyCheck.objects.filter(deployment=deployment)
        .select_related("release")
        .order_by("-created_at")
    )


def parity_since(release_id: str, since: datetime) -> Parity | None:
    """Give what the newest check of a release found, if it was made since that moment."""
    newest = (
        ConsistencyCheck.objects.filter(release_id=release_id, created_at__gte=since)
        .order_by("-created_at")
        .first()
    )
    if newest is None:
        return None
    told = newest.differences[0] if newest.differences else None
    said = f"{told['server']}: {told['sentence']}" if told else ""
    return Parity(newest.compared, newest.agreeing, said)


def silences(deployment_id: str, release_ids: Collection[str | None]) -> list[Silence]:
    """List the servers of these releases that could not be asked or compared, longest first."""
    rows = [
        *Collector.objects.filter(deployment_id=deployment_id).values_list("silent", flat=True),
        *ConsistencyWatch.objects.filter(deployment_id=deployment_id).values_list("silent", flat=True),
    ]
    found: dict[str, Silence] = {}
    for each in sorted(read_silences(chain.from_iterable(rows)), key=lambda each: each.since):
        if each.release_id in release_ids:
            found.setdefault(each.server, each)
    return list(found.values())


def alerts(actor: Actor, shop: Shop) -> QuerySet[Alert]:
    """List a shop's alerts, newest first; raises NotPermitted."""
    authorize(actor, "metrics.read", shop)
    return (
        Alert.objects.filter(shop=shop)
        .select_related("deployment", "acknowledged_by")
        .order_by("-created_at")
    )


def firing_alerts(actor: Actor, shop: Shop) -> list[Alert]:
    """List what every page says at its top: alerts that nobody has acknowledged."""
    if not is_permitted(actor, "metrics.read", shop):
        return []
    return list(
        Alert.objects.filter(shop=shop, status="firing")
        .select_related("deployment")
        .order_by("-created_at")[:3]
    )


def open_alerts(deployment: Deployment) -> list[Alert]:
    """List a deployment's alerts that are not resolved, of every kind."""
    rows = Alert.objects.filter(deployment=deployment).exclude(status="resolved")
    return list(rows.select_related("acknowledged_by").order_by("-created_at"))
