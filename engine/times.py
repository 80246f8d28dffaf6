"""Times of a column as seconds since 1970 UTC, whatever way they are written."""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from engine.fields import CACHED_CHARACTERS, CACHED_TEXTS, NUMBER
from engine.interactions import Int64

BAD_TIME = np.iinfo(np.int64).min
LATEST_TIME = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())

DATE_TIME = re.compile(
    r"(\d{4})([-/]?)(\d\d)\2(\d\d)"
    r"(?:[T ](\d\d:\d\d(?::\d\d)?)(?:[.,]\d{1,9})?\s?(Z|UTC|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
COMPACT_DATE = re.compile(r"(19[7-9]\d|20\d\d)(0[1-9]|1[0-2])([0-2]\d|3[01])", re.ASCII)


class Times(dict[str, int]):
    """Read times as seconds since 1970 UTC; BAD_TIME marks what is no time up to the year 2100.

    ticks: how many units of a plain number make a second (1, 1_000, …); None when times are dates.
    RFC 3339 and ISO dates are read in any column; without a zone they are taken as UTC.
    """

    def __init__(self, ticks: int | None) -> None:
        super().__init__()
        self._ticks = ticks

    def __missing__(self, text: str) -> int:
        value = self._read_one(text.strip())
        if value is None or not 0 <= value < LATEST_TIME:
            value = BAD_TIME
        if len(self) >= CACHED_TEXTS:
            self.clear()
        if len(text) <= CACHED_CHARACTERS:
            self[text] = value
        return value

    def read(self, column: Sequence[str]) -> Int64:
        """Return the (n,) seconds of a column."""
        if self._ticks:
            joined = "".join(column)
            if joined.isascii() and joined.isdigit():
                try:
                    numbers = np.fromiter(map(int, column), np.int64, len(column))
                except (ValueError, OverflowError):  # an empty field, or more digits than any time has
                    pass
                else:
                    seconds = numbers // self._ticks
                    return np.where(seconds < LATEST_TIME, seconds, BAD_TIME)
        dates = read_dates(column)
        if dates is not None:
            return np.where((dates >= 0) & (dates < LATEST_TIME), dates, BAD_TIME)
        return np.fromiter(map(self.__getitem__, column), np.int64, len(column))

    def _read_one(self, text: str) -> int | None:
        if self._ticks and len(text) <= 40 and NUMBER.fullmatch(text):
            number = float(text)
            return math.floor(number / self._ticks) if math.isfinite(number) else None
        return read_date(text)


def read_date(text: str) -> int | None:
    """Read an RFC 3339 time or an ISO date as seconds since 1970 UTC; None if it is neither."""
    found = DATE_TIME.fullmatch(text)
    if not found:
        return None
    year, _, month, day, clock, zone = found.groups()
    zone = "+00:00" if zone in (None, "Z", "UTC") else zone
    try:
        return int(datetime.fromisoformat(f"{year}-{month}-{day}T{clock or '00:00'}{zone}").timestamp())
    except (ValueError, OverflowError):  # a 31 February, or the first hours of the year 1
        return None


def read_dates(column: Sequence[str]) -> Int64 | None:
    """Read dates that are all written alike at once, by place; None when one of them is not.

    Reads 2024-01-31 and 2024-01-31T18:30:00, with a space for the T, with or without Z, as `read_date` does.
    """
    width = len(column[0]) if column else 0
    joined = "".join(column)
    if width not in (10, 19, 20) or not joined.isascii() or set(map(len, column)) != {width}:
        return None
    text = np.frombuffer(joined.encode(), np.uint8).reshape(-1, width).T
    for places, allowed in (((4, 7), "-"), ((10,), "T "), ((13, 16), ":"), ((19,), "Z")):
        for place in places:
            if place < width and not np.isin(text[place], list(allowed.encode())).all():
                return None
    digits = text.astype(np.int64) - ord("0")
    numeric = digits[[place for place in range(min(width, 19)) if place not in (4, 7, 10, 13, 16)]]
    if numeric.min() < 0 or numeric.max() > 9:
        return None
    year = digits[0] * 1000 + digits[1] * 100 + digits[2] * 10 + digits[3]
    month, day = digits[5] * 10 + digits[6], digits[8] * 10 + digits[9]
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]").astype(np.int64) + day - 1
    fits = (
        (month >= 1)
        & (month <= 12)
        & (day >= 1)
        & (days < (months + 1).astype("datetime64[D]").astype(np.int64))
    )
    seconds = days * 86_400
    if width > 10:
        hour, minute, second = (digits[at] * 10 + digits[at + 1] for at in (11, 14, 17))
        fits &= (hour < 24) & (minute < 60) & (second < 60)
        seconds += hour * 3600 + minute * 60 + second
    return seconds if fits.all() else None


def guess_ticks(texts: Sequence[str]) -> int | None:
    """Guess from a sample whether times are numbers, and of which unit; None when they are dates.

    Without a sample times are taken as seconds.
    """
    if not texts:
        return 1
    if all(COMPACT_DATE.fullmatch(text) for text in texts):
        return None
    numbers = [abs(float(text)) for text in texts if len(text) <= 40 and NUMBER.fullmatch(text)]
    if len(numbers) * 2 < len(texts) or not numbers:
        return None
    typical = float(np.median(numbers))
    for ticks in (1, 1_000, 1_000_000):
        if typical < LATEST_TIME * ticks:
            return ticks
    return 1_000_000_000
