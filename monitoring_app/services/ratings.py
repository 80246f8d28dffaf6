"""What shoppers think of items: the last word of each counts."""

from collections.abc import Iterable
from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone

from portal.core.actors import Actor
from portal.core.models import Shop
from portal.core.permissions import authorize

KEEP_THE_LATEST = """
    INSERT INTO monitoring_app_rating AS known (shop_id, user_id, item_id, value, rated_at)
    SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::float8[], %s::timestamptz[])
    ON CONFLICT (shop_id, user_id, item_id) DO UPDATE SET value = EXCLUDED.value, rated_at = EXCLUDED.rated_at
    WHERE known.rated_at <= EXCLUDED.rated_at
"""

# Whatever time is known: a person says now that it shall be gone.
TAKE_BACK = """
    INSERT INTO monitoring_app_rating AS known (shop_id, user_id, item_id, value, rated_at)
    VALUES (%s, %s, %s, NULL, %s)
    ON CONFLICT (shop_id, user_id, item_id) DO UPDATE
    SET value = NULL, rated_at = GREATEST(known.rated_at, EXCLUDED.rated_at)
"""

Given = tuple[str, str, float, datetime]  # shopper, item, value, when


def rate(actor: Actor, shop: Shop, user_id: str, item_id: str, value: float, rated_at: datetime) -> None:
    """Keep one rating, unless the shopper said something else about the item later."""
    authorize(actor, "events.write", shop)
    with transaction.atomic():
        keep_ratings(shop, [(user_id, item_id, value, rated_at)])


def take_rating_back(actor: Actor, shop: Shop, user_id: str, item_id: str) -> None:
    """Forget what a shopper thought of an item, also what arrives later but was said before.

    Gone already is fine too.
    """
    authorize(actor, "events.write", shop)
    with connection.cursor() as cursor:
        cursor.execute(TAKE_BACK, [shop.pk, user_id, item_id, timezone.now()])


def keep_ratings(shop: Shop, given: Iterable[Given]) -> None:
    """Write the latest rating of each shopper and item, in one order: no deadlock between two batches."""
    latest: dict[tuple[str, str], Given] = {}
    for one in sorted(given, key=lambda rating: rating[3]):
        latest[one[0], one[1]] = one
    if latest:
        columns = [list(column) for column in zip(*(latest[key] for key in sorted(latest)), strict=True)]
        with connection.cursor() as cursor:
            cursor.execute(KEEP_THE_LATEST, [shop.pk, *columns])
