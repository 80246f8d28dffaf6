"""Turn what gateways and model servers report into points per release."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime

from django.db import transaction

from deployments_app.gateway_report import Report
from deployments_app.models import Deployment, Release, Rollout
from monitoring_app import histograms
from monitoring_app.buckets import start_of
from monitoring_app.models import Collector, MetricPoint, PairTotals, SourceTotals
from portal.core.clock import database_now
from portal.core.dispatch import enqueue_on_commit
from portal.core.jobs import wake_fields

COUNTERS = ("requests", "errors", "answers", "fallbacks", "empty", "copies")


@dataclass(frozen=True)
class Totals:
    """Counters of one source for one release since `counting_since`; they only grow until it changes."""

    release_id: str
    source: str
    counting_since: str
    counts: dict[str, int]
    latency: dict[str, int] = field(default_factory=dict)  # per bucket


def ingest_gateway_report(report: Report) -> list[str]:
    """Store what a gateway's arms did since its last report; returns the ids of the deployments."""
    known = dict(
        Release.objects.filter(pk__in=[arm.release_id for arm in report.arms]).values_list(
            "pk", "deployment_id"
        )
    )
    totals = [
        Totals(
            release_id=arm.release_id,
            source=report.agent_id,
            counting_since=report.counting_since,
            counts={"requests": arm.requests_total, "errors": arm.errors_5xx_total},
            latency=histograms.from_cumulative(arm.latency_ms),
        )
        for arm in report.arms
        if arm.release_id in known
    ]
    store_totals(totals, known, now=database_now())
    store_pairs(report)
    deployments = sorted(set(known.values()))
    _ensure_collectors(deployments)
    return deployments


def store_pairs(report: Report) -> None:
    """Keep what a gateway's agent has summed up by comparing; the last word of each counting counts."""
    if not report.pairs:
        return
    named = [pairs.rollout_id for pairs in report.pairs]
    known = set(Rollout.objects.filter(pk__in=named).values_list("pk", flat=True))
    for pairs in report.pairs:
        if pairs.rollout_id in known:
            PairTotals.objects.update_or_create(
                rollout_id=pairs.rollout_id,
                source=report.agent_id,
                counting_since=report.counting_since,
                defaults={"sums": asdict(pairs), "reported_at": database_now()},
            )


def store_totals(totals: Iterable[Totals], deployment_of: dict[str, str], *, now: datetime) -> None:
    """Add the growth of each source's counters to the buckets of this moment."""
    for each in sorted(totals, key=lambda total: total.release_id):  # one order: no deadlock between reports
        with transaction.atomic():
            counts, latency = _growth(each, now)
            if any(counts.values()):
                for width_s in MetricPoint.RETENTION_DAYS:
                    _add_to_bucket(
                        each.release_id, deployment_of[each.release_id], width_s, now, counts, latency
                    )


def _growth(now_totals: Totals, now: datetime) -> tuple[dict[str, int], dict[str, int]]:
    fresh = {"counts": now_totals.counts, "latency": now_totals.latency}
    before, created = SourceTotals.objects.select_for_update().get_or_create(
        source=now_totals.source,
        release_id=now_totals.release_id,
        defaults={"counting_since": now_totals.counting_since, "totals": fresh, "reported_at": now},
    )
    counts: dict[str, int] = {}
    latency: dict[str, int] = {}
    if not created:
        if before.counting_since == now_totals.counting_since:
            counts, latency = before.totals.get("counts", {}), before.totals.get("latency", {})
        SourceTotals.objects.filter(pk=before.pk).update(
            counting_since=now_totals.counting_since, totals=fresh, reported_at=now
        )
    return _minus(now_totals.counts, counts), _minus(now_totals.latency, latency)


def _minus(later: dict[str, int], earlier: dict[str, int]) -> dict[str, int]:
    return {name: max(0, value - earlier.get(name, 0)) for name, value in later.items()}


def _add_to_bucket(
    release_id: str,
    deployment_id: str,
    width_s: int,
    now: datetime,
    counts: dict[str, int],
    latency: dict[str, int],
) -> None:
    at = start_of(now, width_s)
    point, _ = MetricPoint.objects.select_for_update().get_or_create(
        release_id=release_id, width_s=width_s, at=at, defaults={"deployment_id": deployment_id}
    )
    fields = {name: getattr(point, name) + counts.get(name, 0) for name in COUNTERS}
    MetricPoint.objects.filter(pk=point.pk).update(latency=histograms.add(point.latency, latency), **fields)


def _ensure_collectors(deployment_ids: list[str]) -> None:
    have = set(
        Collector.objects.filter(deployment_id__in=deployment_ids).values_list("deployment_id", flat=True)
    )
    for missing in set(deployment_ids) - have:
        if Deployment.objects.filter(pk=missing).exists():
            with transaction.atomic():
                collector, created = Collector.objects.get_or_create(
                    deployment_id=missing, defaults=wake_fields()
                )
                if created:
                    enqueue_on_commit(collector)
