"""Reads of measured points: sums since a moment, series for charts, markers of what changed."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.contrib.postgres.aggregates import JSONBAgg
from django.db.models import Q, QuerySet, Sum, Value
from django.db.models.functions import Extract, Floor

from deployments_app.gateway_report import Pairs
from deployments_app.models import Deployment
from monitoring_app import histograms
from monitoring_app.buckets import width_for
from monitoring_app.models import MetricPoint, PairTotals
from portal.core.actors import Actor
from portal.core.errors import NotFound
from portal.core.models import Event, Shop
from portal.core.permissions import authorize

SUMMED = ("requests", "errors", "answers", "fallbacks", "empty", "copies")
WINDOWS_S = {"5m": 300, "1h": 3600, "24h": 86_400, "7d": 7 * 86_400}


@dataclass(frozen=True)
class ArmNumbers:
    """What one release did since a moment."""

    requests: int = 0
    errors: int = 0
    answers: int = 0
    fallbacks: int = 0
    empty: int = 0
    latency: dict[str, int] = field(default_factory=dict)
    copies: int = 0  # of the answers, those to copies of requests

    @property
    def to_shoppers(self) -> int:
        """How many of its lists went to shoppers; a shadow's answers to copies of requests go to nobody."""
        return max(0, self.answers - self.copies)

    @property
    def error_ratio(self) -> float | None:
        return self.errors / self.requests if self.requests else None

    @property
    def fallback_ratio(self) -> float | None:
        return self.fallbacks / self.answers if self.answers else None

    @property
    def empty_ratio(self) -> float | None:
        return self.empty / self.answers if self.answers else None

    def latency_ms(self, share: float) -> float | None:
        return histograms.quantile(self.latency, share)


@dataclass(frozen=True)
class Series:
    """One release over time, one value a step."""

    release_id: str
    number: int
    at: list[datetime]
    per_second: list[float]
    error_pct: list[float | None]
    p50_ms: list[float | None]
    p95_ms: list[float | None]
    p99_ms: list[float | None]
    total: ArmNumbers


def live_deployment(actor: Actor, shop: Shop, deployment_id: str) -> Deployment:
    """Find a deployment of the shop; raises NotFound."""
    authorize(actor, "metrics.read", shop)
    rows = Deployment.objects.select_related("stable", "canary", "environment")
    deployment = rows.filter(shop=shop, pk=deployment_id).first()
    if deployment is None:
        raise NotFound("There is no such deployment in this shop.")
    return deployment


def numbers_since(release_id: str, since: datetime, now: datetime) -> ArmNumbers:
    """Add up the release's points that began at `since` or later; by the minute when that is an hour ago."""
    width_s = width_for((now - since).total_seconds())
    return _add(list(MetricPoint.objects.filter(release_id=release_id, width_s=width_s, at__gte=since)))


def numbers_between(release_id: str, since: datetime, until: datetime, now: datetime) -> ArmNumbers:
    """Add up the release's points that began in a span, by the minute when it began an hour ago."""
    width_s = width_for((now - since).total_seconds())
    points = MetricPoint.objects.filter(release_id=release_id, width_s=width_s, at__gte=since, at__lt=until)
    return _add(list(points))


def pairs_of(rollout_id: str) -> Pairs:
    """Add up what every gateway's agent found by comparing a rollout's shadow with stable."""
    found = Pairs(rollout_id)
    for sums in PairTotals.objects.filter(rollout_id=rollout_id).values_list("sums", flat=True):
        found = found.plus(Pairs(**sums))
    return found


def series(deployment: Deployment, window_s: int, now: datetime) -> list[Series]:
    """Every release with traffic in the window, oldest release first, at about 150 steps."""
    width_s = width_for(window_s)
    step_s = max(width_s, round(window_s / 150 / width_s) * width_s)
    since = datetime.fromtimestamp((now.timestamp() - window_s) // step_s * step_s, now.tzinfo)
    points = MetricPoint.objects.filter(deployment=deployment, width_s=width_s, at__gte=since)
    # Added up by the database: a week by the minute is ten thousand points a release.
    place = Floor((Extract("at", "epoch") - Value(since.timestamp())) / Value(float(step_s)))
    found = points.annotate(place=place).values_list("release__number", "release_id", "place")
    steps: dict[tuple[int, str], dict[int, ArmNumbers]] = {}
    for number, release_id, at, *sums, latencies in found.annotate(
        *(Sum(name) for name in SUMMED), latencies=JSONBAgg("latency")
    ):
        numbers = ArmNumbers(**dict(zip(SUMMED, sums, strict=True)), latency=histograms.add(*latencies))
        steps.setdefault((number, release_id), {})[int(at)] = numbers
    # The newest step is still filling up: a rate from it would always look like a drop.
    count = max(1, int((now - since).total_seconds() // step_s))
    times = [since + timedelta(seconds=place * step_s) for place in range(count)]
    return [
        _series(number, release_id, arm, times, step_s) for (number, release_id), arm in sorted(steps.items())
    ]


def markers(deployment: Deployment, since: datetime) -> QuerySet[Event]:
    """Moments at which the deployment's traffic was moved."""
    moved = Q(object_id__in=deployment.rollouts.values("pk"))
    return (
        Event.objects.filter(moved, shop_id=deployment.shop_id, created_at__gte=since)
        .exclude(verb__endswith=".noted")
        .order_by("created_at")
    )


def _series(
    number: int, release_id: str, arm: dict[int, ArmNumbers], times: list[datetime], step_s: int
) -> Series:
    steps = [arm.get(place, ArmNumbers()) for place in range(len(times))]
    return Series(
        release_id=release_id,
        number=number,
        at=times,
        per_second=[step.requests / step_s for step in steps],
        error_pct=[None if step.error_ratio is None else 100 * step.error_ratio for step in steps],
        p50_ms=[step.latency_ms(0.50) for step in steps],
        p95_ms=[step.latency_ms(0.95) for step in steps],
        p99_ms=[step.latency_ms(0.99) for step in steps],
        total=_add(arm.values()),
    )


def _add(points: Collection[MetricPoint] | Collection[ArmNumbers]) -> ArmNumbers:
    return ArmNumbers(
        requests=sum(point.requests for point in points),
        errors=sum(point.errors for point in points),
        answers=sum(point.answers for point in points),
        fallbacks=sum(point.fallbacks for point in points),
        empty=sum(point.empty for point in points),
        copies=sum(point.copies for point in points),
        latency=histograms.add(*(point.latency for point in points)),
    )
