"""How much many lists in one request may take; the same for both ways to ask for them."""

from collections.abc import Iterator
from contextlib import contextmanager

from engine.serving.requests import USERS_MAX, Refusal

ITEMS_MAX = 20_000  # users × k: what one answer holds
BATCHES_MAX = 4  # under way at once


class BatchRoom:
    """Counts the batches under way in one server."""

    def __init__(self) -> None:
        self._under_way = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold one place while the block runs; raise Refusal when all are taken."""
        if self._under_way >= BATCHES_MAX:
            detail = f"{BATCHES_MAX} batches are under way; ask again in a second."
            raise Refusal(429, "too_many_batches", detail, headers={"Retry-After": "1"})
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1


def check_size(n_users: int, k: int, pointer: str = "") -> None:
    """Refuse a batch whose answer would be too large."""
    if n_users > USERS_MAX or n_users * k > ITEMS_MAX:
        detail = f"A batch has at most {USERS_MAX:,} users and {ITEMS_MAX:,} items in all (users × k)."
        raise Refusal(413, "too_many", detail, pointer=pointer)
