"""Reads of what shoppers did with the lists of each release."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Extract, Floor

from deployments_app.models import Deployment
from monitoring_app.buckets import share_width_for, start_of, width_for
from monitoring_app.intervals import wilson
from monitoring_app.models import Collector, FeedbackPoint, FeedbackWindow, MetricPoint
from monitoring_app.selectors import live_deployment
from portal.core.actors import Actor
from portal.core.models import Shop

KINDS = ("impressions", "seen", "clicks", "purchases")
TOTALS = {f"all_{kind}": Sum(kind) for kind in KINDS}
FAIR_SHARE = 0.5  # of a release's lists: so many impressions are no strays, the shop tells what was shown


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
    deployment_id: str,
    given_out: Mapping[str, int],
    since: datetime,
    now: datetime,
    *,
    by_shown: bool = True,
) -> dict[str, Reaction]:
    """What shoppers did with the lists given out since a moment, by release.

    given_out: lists that shoppers got from each release's servers in that time. Where the shop tells of every
    release's lists which were shown, those are the exposures, unless by_shown is False; else the given out
    are, of all releases. Lists given out since the servers were last asked for their counts are left out on
    both sides.
    """
    points = _counted_points(deployment_id, width_for((now - since).total_seconds()), since)
    rows = points.values("release_id").annotate(**TOTALS).values_list("release_id", *TOTALS)
    sums = {release_id: dict(zip(KINDS, counts, strict=True)) for release_id, *counts in rows}
    shown = Counter({release_id: row["impressions"] for release_id, row in sums.items()})
    tells_impressions = by_shown and _tells_impressions(shown, given_out)
    found = {}
    for release_id in {*given_out, *sums}:
        row = sums.get(release_id, dict.fromkeys(KINDS, 0))
        found[release_id] = _reaction(row, given_out.get(release_id, 0), tells_impressions)
    return found


@dataclass(frozen=True)
class ReactionsAt:
    """What shoppers did with one release's lists of one bucket of time, which began at `at`."""

    at: datetime
    reaction: Reaction


def reactions_over_time(
    deployment_id: str, window_s: int, now: datetime
) -> tuple[int, dict[str, list[ReactionsAt]]]:
    """What shoppers did, bucket by bucket: their width in seconds, and every release's, oldest first.

    The first bucket begins before the window, so that it is whole. Buckets without a list are left out, and
    everything is while nobody tells what shoppers did.
    """
    bucket_s = share_width_for(window_s)
    since = start_of(now - timedelta(seconds=window_s), bucket_s)
    width_s = width_for(window_s)
    place = Floor((Extract("at", "epoch") - Value(since.timestamp())) / Value(float(bucket_s)))
    points = _counted_points(deployment_id, width_s, since).annotate(place=place)
    rows = points.values("release_id", "place").annotate(**TOTALS)
    sums = {
        (release_id, int(at)): dict(zip(KINDS, counts, strict=True))
        for release_id, at, *counts in rows.values_list("release_id", "place", *TOTALS)
    }
    if not any(any(row.values()) for row in sums.values()):
        return bucket_s, {}
    answered = MetricPoint.objects.filter(deployment_id=deployment_id, width_s=width_s, at__gte=since)
    lists = answered.annotate(place=place).values("release_id", "place")
    counted = lists.annotate(lists=Sum(F("answers") - F("copies")))
    given_out = {
        (release_id, int(at)): int(count)
        for release_id, at, count in counted.values_list("release_id", "place", "lists")
    }
    shown: Counter[str] = Counter()
    given_in_all: Counter[str] = Counter()
    for (release_id, _), row in sums.items():
        shown[release_id] += row["impressions"]
    for (release_id, _), count in given_out.items():
        given_in_all[release_id] += count
    tells_impressions = _tells_impressions(shown, given_in_all)
    found: dict[str, list[ReactionsAt]] = {}
    for release_id, at in sorted({*given_out, *sums}):
        row = sums.get((release_id, at), dict.fromkeys(KINDS, 0))
        reaction = _reaction(row, given_out.get((release_id, at), 0), tells_impressions)
        if reaction.exposures:
            began = since + timedelta(seconds=at * bucket_s)
            found.setdefault(release_id, []).append(ReactionsAt(began, reaction))
    return bucket_s, found


def _tells_impressions(shown: Mapping[str, int], given_out: Mapping[str, int]) -> bool:
    """Tell whether impressions can be the exposures: of every release's lists, a fair share was shown.

    One stray impression would make the clicked lists all the exposures there are, and every click rate 100 %.
    """
    counted = {release_id: lists for release_id, lists in given_out.items() if lists}
    return bool(counted) and all(
        shown.get(release_id, 0) >= FAIR_SHARE * lists for release_id, lists in counted.items()
    )


def _reaction(row: Mapping[str, int], given_out: int, is_shown: bool) -> Reaction:
    if not given_out:  # nobody has counted the lists: those that were clicked are no measure of them
        return Reaction(is_shown=is_shown)
    # Of the bucket in which the servers were asked, more can be known than they had counted.
    lists = row["seen"] if is_shown else max(given_out, row["seen"])
    return Reaction(lists, row["clicks"], row["purchases"], is_shown)


def _counted_points(deployment_id: str, width_s: int, since: datetime) -> QuerySet[FeedbackPoint]:
    """What became of lists, of buckets that the servers' own counts reach to."""
    asked = Collector.objects.filter(deployment_id=deployment_id).values("collected_at")[:1]
    points = FeedbackPoint.objects.filter(deployment_id=deployment_id, width_s=width_s, at__gte=since)
    return points.alias(counted_at=Subquery(asked)).filter(Q(counted_at=None) | Q(at__lt=F("counted_at")))


def usual_reaction(deployment_id: str, release_id: str, now: datetime, *, by_shown: bool = True) -> Reaction:
    """What shoppers did with the lists of one release during the last day."""
    since = now - timedelta(days=1)
    points = MetricPoint.objects.filter(release_id=release_id, width_s=60, at__gte=since)
    given_out = points.aggregate(sum=Sum(F("answers") - F("copies")))["sum"] or 0
    found = reactions_since(deployment_id, {release_id: given_out}, since, now, by_shown=by_shown)
    return found[release_id]
