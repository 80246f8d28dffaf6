"""Reads of the ratings that a shop sent one by one."""

from collections.abc import Iterator
from datetime import datetime

from django.db.models import QuerySet

from monitoring_app.models import Rating
from portal.core.models import Shop

AT_A_TIME = 5000


def count_ratings(shop: Shop) -> int:
    return _given(shop).count()


def read_ratings(shop: Shop) -> Iterator[tuple[str, str, float, datetime]]:
    """Every rating as it is when the first is read: shopper, item, value, when; always in the same order."""
    rows = _given(shop).order_by("user_id", "item_id")
    columns = rows.values_list("user_id", "item_id", "value", "rated_at")
    for user_id, item_id, value, rated_at in columns.iterator(chunk_size=AT_A_TIME):
        assert value is not None
        yield user_id, item_id, value, rated_at


def _given(shop: Shop) -> QuerySet[Rating]:
    """Select what was given and not taken back."""
    return Rating.objects.filter(shop=shop, value__isnull=False)
