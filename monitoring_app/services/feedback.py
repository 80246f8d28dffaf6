"""Take what shoppers did: each event once, each with a verdict, committed before the answer."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import prometheus_client
from django.db import connection, transaction
from django.utils import timezone

from monitoring_app.buckets import start_of
from monitoring_app.event_rules import MAX_EVENTS, TYPES, Refused, ShopEvent, read_event
from monitoring_app.models import FeedbackEvent, FeedbackPoint, ListOutcome
from monitoring_app.services.attribution import SAYS, Attributor, Credit
from monitoring_app.services.ratings import keep_ratings
from portal.core.actors import Actor
from portal.core.errors import TooLarge
from portal.core.models import Shop
from portal.core.permissions import authorize

EVENTS = prometheus_client.Counter(
    "aisle_events_total", "Events that shops sent, by what became of them.", ("shop", "type", "verdict")
)
LAG = prometheus_client.Histogram(
    "aisle_event_lag_seconds",
    "Time from an event until it was taken.",
    buckets=(0.1, 0.5, 1, 5, 15, 60, 300, 1800, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600),
)

ADD_TO_POINTS = """
    INSERT INTO monitoring_app_feedbackpoint AS point
        (deployment_id, release_id, width_s, at, impressions, seen, clicks, purchases)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::int[], %s::timestamptz[],
                         %s::int[], %s::int[], %s::int[], %s::int[])
    ON CONFLICT (release_id, width_s, at) DO UPDATE SET
        impressions = point.impressions + EXCLUDED.impressions,
        seen = point.seen + EXCLUDED.seen,
        clicks = point.clicks + EXCLUDED.clicks,
        purchases = point.purchases + EXCLUDED.purchases
"""


@dataclass
class Taken:
    """The verdict on a batch: how many were kept, how many were known, and why the others were not."""

    accepted: int = 0
    duplicates: int = 0
    rejected: list[dict[str, Any]] = field(default_factory=list)


def take_events(actor: Actor, shop: Shop, given: Sequence[Any]) -> Taken:
    """Keep the events that are right and new. What was accepted is on disk when this returns.

    Rows are written in one order in every batch (by event_id, then by list, then by bucket), so that two
    batches with the same events wait for each other instead of running into a deadlock.
    """
    authorize(actor, "events.write", shop)
    if len(given) > MAX_EVENTS:
        raise TooLarge(
            f"At most {MAX_EVENTS:,} events at a time; these are {len(given):,}. Send them in parts."
        )
    now = timezone.now()
    taken = Taken()
    tally: Counter[tuple[str, str]] = Counter()
    new, credits_ = _read_all(shop, given, now, taken, tally)
    with transaction.atomic():
        kept = _insert(shop, new, credits_, now)
        _count_outcomes([(event, credits_[event.event_id]) for event in kept], now)
        keep_ratings(
            shop,
            [
                (event.user_id, event.item_id, float(event.value or 0), event.occurred_at)
                for event in kept
                if event.type == "rating"
            ],
        )
    taken.accepted = len(kept)
    taken.duplicates += len(new) - len(kept)
    kept_ids = {event.event_id for event in kept}
    for event in new:
        tally[event.type, "accepted" if event.event_id in kept_ids else "duplicate"] += 1
    for event in kept:
        LAG.observe((now - event.occurred_at).total_seconds())
    for (kind, verdict), count in tally.items():
        EVENTS.labels(shop.slug, kind, verdict).inc(count)
    return taken


def _read_all(
    shop: Shop, given: Sequence[Any], now: datetime, taken: Taken, tally: Counter[tuple[str, str]]
) -> tuple[list[ShopEvent], dict[str, Credit | None]]:
    """Read and check every event; returns those that fit, each id once, sorted by it, with their lists."""
    read: list[tuple[int, ShopEvent]] = []
    for index, one in enumerate(given):
        try:
            read.append((index, read_event(one, now)))
        except Refused as error:
            _reject(taken, tally, index, _type_of(one), error)
    attributor = Attributor(shop, (event for _, event in read))
    fit: dict[str, ShopEvent] = {}
    credits_: dict[str, Credit | None] = {}
    for index, event in read:
        try:
            credit = attributor.credit(event)
        except Refused as error:
            _reject(taken, tally, index, event.type, error)
            continue
        if event.event_id in fit:
            taken.duplicates += 1
            tally[event.type, "duplicate"] += 1
            continue
        fit[event.event_id], credits_[event.event_id] = event, credit
    taken.rejected.sort(key=lambda each: each["index"])
    return [fit[event_id] for event_id in sorted(fit)], credits_


def _type_of(given: Any) -> str:
    kind = given.get("type") if isinstance(given, dict) else None
    return kind if isinstance(kind, str) and kind in TYPES else "unknown"


def _reject(taken: Taken, tally: Counter[tuple[str, str]], index: int, kind: str, error: Refused) -> None:
    taken.rejected.append(
        {"index": index, "code": error.code, "pointer": error.pointer, "detail": error.detail}
    )
    tally[kind, "rejected"] += 1


def _insert(
    shop: Shop, events: list[ShopEvent], credits_: dict[str, Credit | None], now: datetime
) -> list[ShopEvent]:
    """Insert the events whose id the shop has not sent before, and return them.

    The unique index decides: of two batches with one id, the second waits until the first has committed.
    """
    rows = {}
    for event in events:
        credit = credits_[event.event_id]
        row = FeedbackEvent(
            shop=shop,
            event_id=event.event_id,
            type=event.type,
            user_id=event.user_id,
            session_id=event.session_id,
            item_id=event.item_id,
            position=event.position,
            value=event.value,
            currency=event.currency,
            recommendation_id=event.recommendation_id,
            release_id=credit.release_id if credit is not None else None,
            is_in_time=credit is not None and credit.is_in_time,
            occurred_at=event.occurred_at,
            received_at=now,
        )
        rows[row.pk] = (row, event)
    FeedbackEvent.objects.bulk_create([row for row, _ in rows.values()], ignore_conflicts=True)
    inserted = set(FeedbackEvent.objects.filter(pk__in=list(rows)).values_list("pk", flat=True))
    return [event for pk, (_, event) in rows.items() if pk in inserted]


def _count_outcomes(kept: list[tuple[ShopEvent, Credit | None]], now: datetime) -> None:
    """Note what became of each list the first time, and add that to the sums of its release."""
    rows: dict[tuple[str, str], tuple[ListOutcome, str]] = {}
    for event, credit in kept:
        if credit is None or not credit.counts:
            continue
        digest = hashlib.sha256(event.recommendation_id.encode()).hexdigest()
        for kind in SAYS.get(event.type, ()):
            row = ListOutcome(
                release_id=credit.release_id, list_sha256=digest, kind=kind, served_at=credit.served_at
            )
            rows.setdefault((digest, kind), (row, credit.deployment_id))
    if not rows:
        return
    ListOutcome.objects.bulk_create([rows[key][0] for key in sorted(rows)], ignore_conflicts=True)
    first = set(
        ListOutcome.objects.filter(pk__in=[row.pk for row, _ in rows.values()]).values_list("pk", flat=True)
    )
    sums: dict[tuple[str, int, datetime, str], Counter[str]] = {}
    for row, deployment_id in rows.values():
        if row.pk in first:
            for width_s, days in FeedbackPoint.RETENTION_DAYS.items():
                if row.served_at > now - timedelta(days=days):
                    at = start_of(row.served_at, width_s)
                    sums.setdefault((row.release_id, width_s, at, deployment_id), Counter())[row.kind] += 1
    _add_to_points(sums)


def _add_to_points(sums: dict[tuple[str, int, datetime, str], Counter[str]]) -> None:
    keys = sorted(sums)
    if keys:
        release_ids, widths, times, deployment_ids = (list(column) for column in zip(*keys, strict=True))
        counts = [[sums[key][kind] for key in keys] for kind in ListOutcome.KINDS]
        with connection.cursor() as cursor:
            cursor.execute(ADD_TO_POINTS, [deployment_ids, release_ids, widths, times, *counts])
