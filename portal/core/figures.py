"""Numbers, sizes and times as people read them: true minus, unit beside the figure."""

import math
from datetime import UTC, datetime

SPACE = "\u00a0"  # no-break: between a number and its unit (the typeface has no narrow one)
MINUS = "\u2212"
NOTHING = "–"

_MAGNITUDES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def number(value: object) -> float | None:
    """Read a number, or None for what is missing or not finite."""
    if value is None or value == "" or isinstance(value, bool):
        return None
    try:
        read = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return read if math.isfinite(read) else None


def decimal(value: object, digits: int = 3, *, signed: bool = False) -> str:
    """Write with a fixed number of digits, grouped by commas: −1,204.50."""
    read = number(value)
    if read is None:
        return NOTHING
    text = f"{abs(read):,.{digits}f}"
    is_zero = not text.strip("0.,")
    if read < 0 and not is_zero:
        return MINUS + text
    return f"+{text}" if signed and not is_zero else text


def whole(value: object) -> str:
    """Write a count: 1,204,331."""
    return decimal(value, 0)


def counted(count: int, noun: str) -> str:
    """Write a count with its noun: 1 answer, 1,204 answers."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def compact(value: object) -> str:
    """Write a count in three digits: 1.2 M, 38 k, 941."""
    read = number(value)
    if read is None:
        return NOTHING
    for size, unit in _MAGNITUDES:
        if abs(read) >= size * 0.9995:
            return f"{_three_digits(read / size)}{SPACE}{unit}"
    return decimal(read, 0 if read == int(read) else 1)


def percent(ratio: object, digits: int = 1, *, signed: bool = False) -> str:
    """Write a ratio (0 to 1) as percent: 3.4 %."""
    read = number(ratio)
    return NOTHING if read is None else f"{decimal(read * 100, digits, signed=signed)}{SPACE}%"


def with_interval(value: object, half: object, digits: int = 3) -> str:
    """Write an estimate with half its interval: 0.142 ± 0.006."""
    if number(half) is None:
        return decimal(value, digits)
    return f"{decimal(value, digits)}{SPACE}±{SPACE}{decimal(half, digits)}"


def size(value: object) -> str:
    """Write a number of bytes in decimal units: 4.1 MB."""
    read = number(value)
    if read is None:
        return NOTHING
    for unit_size, unit in _BYTES:
        if abs(read) >= unit_size * 0.9995:
            return f"{_three_digits(read / unit_size)}{SPACE}{unit}"
    return f"{read:.0f}{SPACE}B"


def duration(seconds: object) -> str:
    """Write a span of seconds with at most two units: 850 ms, 42 s, 1 min 50 s, 3 h 20 min."""
    read = number(seconds)
    if read is None:
        return NOTHING
    if read < 0:
        return MINUS + duration(-read)
    if read < 0.9995:
        return f"{_three_digits(read * 1000) if read < 0.01 else f'{read * 1000:.0f}'}{SPACE}ms"
    if read < 9.95:
        return f"{_three_digits(read, most=1)}{SPACE}s"
    left = round(read)
    if left < 60:
        return f"{left}{SPACE}s"
    if left < 3600:
        return _two(left // 60, "min", left % 60, "s")
    minutes = round(read / 60)
    if minutes < 24 * 60:
        return _two(minutes // 60, "h", minutes % 60, "min")
    hours = round(read / 3600)
    return _two(hours // 24, "d", hours % 24, "h")


def ago(moment: datetime, now: datetime) -> str:
    """Say how long ago, or in how long: just now, 12 minutes ago, in 3 hours, on 9 Nov."""
    seconds = (now - moment).total_seconds()
    span = abs(seconds)
    if span < 5:
        return "just now"
    for limit, size_s, word in (
        (60, 1, "second"),
        (3600, 60, "minute"),
        (86400, 3600, "hour"),
        (7 * 86400, 86400, "day"),
    ):
        if span < limit:
            count = int(span // size_s)
            words = counted(count, word)
            return f"{words} ago" if seconds > 0 else f"in {words}"
    return f"on {day(moment, now)}"


def day(moment: datetime, now: datetime) -> str:
    """Write a date, with the year only when it is another one: 9 Nov, 9 Nov 2024."""
    year = "" if moment.year == now.year else f" {moment.year}"
    return f"{moment.day} {moment:%b}{year}"


def utc(moment: datetime) -> str:
    """Write the full time in UTC, for a tooltip."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _three_digits(value: float, most: int = 2) -> str:
    if abs(value) >= 99.95:
        return decimal(value, 0)
    text = decimal(value, min(most, 1 if abs(value) >= 9.995 else 2))
    return text.rstrip("0").rstrip(".") if "." in text else text


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    first = f"{large}{SPACE}{large_unit}"
    return f"{first} {small}{SPACE}{small_unit}" if small else first
