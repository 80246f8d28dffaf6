"""Buckets of time that points are added up in. Pure."""

from datetime import UTC, datetime

FINE_S, COARSE_S = 2, 60
FINE_FOR_S = 3600  # how far back a question is answered by fine buckets
WIDE_S = (60, 600, 3600, 86_400)  # of shares: each holds enough lists to take one of
WIDE_BUCKETS = 5  # in a window, at least


def width_for(span_s: float) -> int:
    """Choose the width, in seconds, by which so many seconds back are added up."""
    return FINE_S if span_s <= FINE_FOR_S else COARSE_S


def share_width_for(span_s: float) -> int:
    """Choose the width of the buckets that shares over so many seconds are shown by: a minute to a day."""
    return next((width for width in reversed(WIDE_S) if span_s >= WIDE_BUCKETS * width), WIDE_S[0])


def start_of(moment: datetime, width_s: int) -> datetime:
    """Find the start of the bucket that a moment falls into."""
    return datetime.fromtimestamp(moment.timestamp() // width_s * width_s, UTC)
