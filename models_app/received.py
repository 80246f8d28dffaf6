"""Ratings that a shop sends one by one: a later stage keeps them, and the shell hands them over."""

from collections.abc import Callable, Iterator
from datetime import datetime

from portal.core.models import Shop

Rating = tuple[str, str, float, datetime]  # shopper, item, value, when

count_ratings: Callable[[Shop], int] | None = None  # both set by the shell at start
read_ratings: Callable[[Shop], Iterator[Rating]] | None = None


def count(shop: Shop) -> int:
    """How many ratings there are now."""
    return count_ratings(shop) if count_ratings is not None else 0


def read(shop: Shop) -> Iterator[Rating]:
    """All of them as they are at one moment, in the same order every time."""
    return read_ratings(shop) if read_ratings is not None else iter(())
