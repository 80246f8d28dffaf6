"""Delete what is older than it is kept, a bounded part at a time."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from monitoring_app.event_rules import OLDEST
from monitoring_app.models import FeedbackEvent, FeedbackPoint, ListOutcome, MetricPoint, Rating

BATCH = 10_000
CLOCKS_DIFFER = timedelta(days=1)  # of the hosts that accept ratings and the one that sweeps, with room
MAX_BATCHES = 20  # of one sweep; the next one goes on


def prune_points(deployment_id: str, now: datetime) -> None:
    """Delete the deployment's points that are older than their width is kept."""
    for model in (MetricPoint, FeedbackPoint):
        for width_s, days in model.RETENTION_DAYS.items():
            old = now - timedelta(days=days)
            model.objects.filter(deployment_id=deployment_id, width_s=width_s, at__lt=old).delete()


def prune_events(now: datetime) -> int:
    """Delete old events of all shops, and what became of lists as old; returns how many rows went.

    And ratings that were taken back so long ago that nothing older would be accepted.
    """
    old = now - timedelta(days=FeedbackEvent.RETENTION_DAYS)
    return (
        _delete(FeedbackEvent.objects.filter(received_at__lt=old))
        + _delete(ListOutcome.objects.filter(served_at__lt=old))
        + _delete(Rating.objects.filter(value=None, rated_at__lt=now - OLDEST - CLOCKS_DIFFER))
    )


def _delete(rows: QuerySet[Any]) -> int:
    """Delete in short transactions: a single large one would hold its locks and its snapshot for minutes."""
    total = 0
    for _ in range(MAX_BATCHES):
        count, _per_model = rows.model._default_manager.filter(pk__in=rows.values("pk")[:BATCH]).delete()
        total += count
        if count < BATCH:
            break
    return total
