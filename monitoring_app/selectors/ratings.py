"""Reads of the ratings that a shop sent one by one."""

from collections.abc import Iterator
from datetime import datetime

from monitoring_app.models import Rating
from portal.core.models import Shop

AT_A_TIME = 5000


def count_ratings(shop: Shop) -> int:
    return Rating.objects.filter(shop=shop).count()


def read_ratings(shop: Shop) -> Iterator[tuple[str, str, float, datetime]]:
    """Every rating as it is when the first is read: shopper, item, value, when; always in the same order."""
    rows = Rating.objects.filter(shop=shop).order_by("user_id", "item_id")
    return iter(rows.values_list("user_id", "item_id", "value", "rated_at").iterator(chunk_size=AT_A_TIME))
