"""What a shop may send about a shopper. Pure: one parsed value in, one event or the reason against it out."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from engine.fields import CONTROL
from monitoring_app.models.feedback import EVENT_ID_MAX, ID_MAX

MAX_EVENTS = 1000
OLDEST = timedelta(days=7)  # an id is told apart from a repetition for at least as long
CLOCKS_DIFFER = timedelta(minutes=5)
MAX_POSITION = 1000
MAX_VALUE = 1_000_000_000
RECOMMENDATION_ID_MAX = 516

# Type -> the fields that it needs beside event_id and a shopper or session. Names as tag managers know them.
TYPES: dict[str, tuple[str, ...]] = {
    "detail-page-view": ("item_id",),
    "add-to-cart": ("item_id",),
    "purchase-complete": ("item_id",),
    "home-page-view": (),
    "category-page-view": (),
    "search": (),
    "shopping-cart-page-view": (),
    "impression": ("recommendation_id",),
    "recommendation-click": ("item_id", "recommendation_id"),
    "rating": ("user_id", "item_id", "value"),
    "dislike": ("item_id",),
}
FIELDS = (
    "event_id", "type", "user_id", "session_id", "item_id", "recommendation_id", "position", "value",
    "currency", "occurred_at",
)  # fmt: skip
TIME = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)
CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


class Refused(Exception):
    """One event cannot be taken; the others can."""

    def __init__(self, code: str, field: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.pointer = f"/{field.replace('~', '~0').replace('/', '~1')}" if field else ""
        self.detail = detail


@dataclass(frozen=True)
class Unreadable:
    """A line that is no JSON: it is refused alone."""

    detail: str


@dataclass(frozen=True)
class ShopEvent:
    """One event that fits the rules; nobody has looked yet whether its recommendation_id is ours."""

    event_id: str
    type: str
    user_id: str
    session_id: str
    item_id: str
    recommendation_id: str
    position: int | None
    value: Decimal | None
    currency: str
    occurred_at: datetime


def read_event(given: Any, now: datetime) -> ShopEvent:
    """Read one event; raises Refused with the place and the remedy. Without a time it happened now."""
    if isinstance(given, Unreadable):
        raise Refused("not_json", "", given.detail)
    if not isinstance(given, dict):
        raise Refused("wrong_type", "", "An event is an object with event_id, type and what the type needs.")
    for name in given:
        if name not in FIELDS:
            raise Refused("unknown_field", name[:80], f"Unknown field. Known are: {', '.join(FIELDS)}.")
    event_id = _id(given, "event_id", EVENT_ID_MAX)
    if not event_id:
        raise Refused("missing", "event_id", "Every event needs an id of its own, e.g. a UUID.")
    kind = given.get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        raise Refused("unknown_type", "type", f"type is one of {', '.join(TYPES)}.")
    event = ShopEvent(
        event_id=event_id,
        type=kind,
        user_id=_id(given, "user_id"),
        session_id=_id(given, "session_id"),
        item_id=_id(given, "item_id"),
        recommendation_id=_id(given, "recommendation_id", RECOMMENDATION_ID_MAX),
        position=_position(given),
        value=_value(given, least=-MAX_VALUE if kind == "rating" else 0),
        currency=_currency(given),
        occurred_at=_time(given, now),
    )
    for name in TYPES[kind]:
        if getattr(event, name) in ("", None):
            raise Refused("missing", name, f"An event of the type {kind} needs {name}.")
    if not event.user_id and not event.session_id:
        raise Refused("missing", "user_id", "Say who it was: user_id, or session_id for somebody unknown.")
    return event


def read_id(text: Any, field: str, max_bytes: int = ID_MAX) -> str:
    """Read an id as uploaded files are read: text, in Unicode's form NFC, no spaces around it."""
    if not isinstance(text, str):
        raise Refused("wrong_type", field, f'{field} is a text: write "42", not 42.')
    name = unicodedata.normalize("NFC", text.strip(" "))
    if len(name) > max_bytes or len(name.encode()) > max_bytes:
        raise Refused("too_long", field, f"{field} is longer than {max_bytes} bytes.")
    if CONTROL.search(name):
        raise Refused("control_character", field, f"{field} contains a control character.")
    return name


def read_time(text: Any, field: str, now: datetime) -> datetime:
    """Read an RFC 3339 time of the last seven days."""
    if not isinstance(text, str) or not TIME.fullmatch(text):
        raise Refused("wrong_time", field, f"{field} is a time with its zone, e.g. {now:%Y-%m-%dT%H:%M:%S}Z.")
    try:
        at = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused("wrong_time", field, f"{text[:40]} is no time of any calendar.") from None
    if at > now + CLOCKS_DIFFER:
        raise Refused("in_the_future", field, f"{field} is in the future. Look at the sender's clock.")
    if at < now - OLDEST:
        raise Refused(
            "too_old",
            field,
            f"{field} is more than {OLDEST.days} days ago. Upload older interactions as a dataset.",
        )
    return min(at, now)


def _id(given: Mapping[str, Any], field: str, max_bytes: int = ID_MAX) -> str:
    return "" if given.get(field) is None else read_id(given[field], field, max_bytes)


def _position(given: Mapping[str, Any]) -> int | None:
    position = given.get("position")
    if position is None:
        return None
    if type(position) is not int or not 1 <= position <= MAX_POSITION:
        raise Refused(
            "out_of_range", "position", f"position is the place in the list, 1 to {MAX_POSITION:,}."
        )
    return position


def _value(given: Mapping[str, Any], least: int) -> Decimal | None:
    value = given.get("value")
    if value is None:
        return None
    if type(value) not in (int, float):
        raise Refused("wrong_type", "value", "value is a number: write 79.9, not a text.")
    if not least <= value <= MAX_VALUE:
        raise Refused("out_of_range", "value", f"value is a number from {least:,} to {MAX_VALUE:,}.")
    return Decimal(repr(value)).quantize(Decimal("0.0001"))


def _currency(given: Mapping[str, Any]) -> str:
    currency = given.get("currency")
    if currency is None:
        return ""
    if not isinstance(currency, str) or not CURRENCY.fullmatch(currency):
        raise Refused("wrong_currency", "currency", "currency is a code of three letters (ISO 4217): EUR.")
    return currency


def _time(given: Mapping[str, Any], now: datetime) -> datetime:
    return now if given.get("occurred_at") is None else read_time(given["occurred_at"], "occurred_at", now)
