"""Reads of what shoppers did with the lists of each release."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Sum

from deployments_app.models import Deployment
from monitoring_app.buckets import width_for
from monitoring_app.intervals import wilson
from monitoring_app.models import Collector, FeedbackPoint, FeedbackWindow, MetricPoint
from monitoring_app.selectors import live_deployment
from portal.core.actors import Actor
from portal.core.models import Shop

KINDS = ("impressions", "seen", "clicks", "purchases")


@dataclass(frozen=True)
class Reaction:
    """How many lists shoppers got from one release, and from how many they clicked or bought."""

    exposures: int = 0
    clicks: int = 0
    purchases: int = 0
    is_shown: bool = False  # the shop tells which lists were shown: those are the exposures

    @property
    def ctr(self) -> float | None:
        return self.clicks / self.exposures if self.exposures else None

    @property
    def conversion(self) -> float | None:
        return self.purchases / self.exposures if self.exposures else None

    @property
    def ctr_interval(self) -> tuple[float, float]:
        return wilson(self.clicks, self.exposures)

    @property
    def conversion_interval(self) -> tuple[float, float]:
        return wilson(self.purchases, self.exposures)


def window_of(actor: Actor, shop: Shop, deployment_id: str) -> FeedbackWindow:
    """Read how long an answer is spoken for at a placement of the shop; raises NotFound."""
    return window(live_deployment(actor, shop, deployment_id))


def window(deployment: Deployment) -> FeedbackWindow:
    found = FeedbackWindow.objects.filter(deployment=deployment).first()
    return found or FeedbackWindow(deployment=deployment)


def reactions_since(
    deployment_id: str, given_out: Mapping[str, int], since: datetime, now: datetime
) -> dict[str, Reaction]:
    """What shoppers did with the lists given out since a moment, by release.

    given_out: lists that shoppers got from each release's servers in that time. Where the shop tells which
    lists were shown, those are the exposures of every release, else the given out are. Lists given out since
    the servers were last asked for their counts are left out on both sides.
    """
    width_s = width_for((now - since).total_seconds())
    points = FeedbackPoint.objects.filter(deployment_id=deployment_id, width_s=width_s, at__gte=since)
    asked = Collector.objects.filter(deployment_id=deployment_id, collected_at__isnull=False)
    counted_at = asked.values_list("collected_at", flat=True).first()
    if counted_at is not None:
        points = points.filter(at__lt=counted_at)
    totals = {f"all_{kind}": Sum(kind) for kind in KINDS}
    rows = points.values("release_id").annotate(**totals).values_list("release_id", *totals)
    sums = {release_id: dict(zip(KINDS, counts, strict=True)) for release_id, *counts in rows}
    tells_impressions = any(row["impressions"] for row in sums.values())
    found = {}
    for release_id in {*given_out, *sums}:
        row = sums.get(release_id, dict.fromkeys(KINDS, 0))
        # Of the bucket in which they were asked, more can be known than they had counted.
        lists = row["seen"] if tells_impressions else max(given_out.get(release_id, 0), row["seen"])
        found[release_id] = Reaction(lists, row["clicks"], row["purchases"], tells_impressions)
    return found


def usual_reaction(deployment_id: str, release_id: str, now: datetime) -> Reaction:
    """What shoppers did with the lists of one release during the last day."""
    since = now - timedelta(days=1)
    points = MetricPoint.objects.filter(release_id=release_id, width_s=60, at__gte=since)
    given_out = points.aggregate(sum=Sum(F("answers") - F("copies")))["sum"] or 0
    found = reactions_since(deployment_id, {release_id: given_out}, since, now)
    return found[release_id]
