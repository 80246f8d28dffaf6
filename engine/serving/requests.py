"""What a shopper's request asks for, read strictly: whatever cannot be served is refused by name.

Ids are treated as uploads treat them: text ("007" is not "7"), NFC-normalised, no spaces around them.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson

K_DEFAULT, K_MAX = 10, 100
USERS_MAX = 1_000  # of a request for many
ID_MAX_BYTES = 256
EXCLUDE_MAX = 10_000
CONTEXT_MAX = 1_000
CATEGORIES_MAX = 100
DEPTH_MAX = 32
BODY_MAX_BYTES = 1024 * 1024
WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
BODY_FIELDS = {"context", "exclude", "filters", "explain"}


class Refusal(Exception):
    """A request that is answered with a 4xx: what is wrong, where, and what would be right."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        pointer: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.pointer = status, code, detail, pointer
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class Filters:
    """Which items may be shown; no category and no price_max: all."""

    categories: tuple[str, ...] = ()
    price_max: float | None = None


@dataclass(frozen=True)
class Wanted:
    """One list that somebody asks for. `context`: items that the shopper looks at or has in the cart."""

    k: int = K_DEFAULT
    exclude: list[str] = field(default_factory=list)
    context: list[str] = field(default_factory=list)
    filters: Filters = Filters()
    explain: bool = False


Query = dict[str, list[str]]  # still percent-encoded


def read_query(raw: bytes) -> Query:
    """Split a query string; the values stay encoded, so that an id may hold a comma."""
    query: Query = {}
    for part in raw.decode("latin-1").split("&"):
        name, _, value = part.partition("=")
        query.setdefault(name, []).append(value)
    return query


def read_wanted(
    query: Query, body: bytes | dict[str, Any], *, more_fields: frozenset[str] = frozenset()
) -> Wanted:
    """Read what a recommendation request asks for, from the URL and from the body, perhaps parsed already."""
    k = read_k(query)
    exclude = [
        read_id(part, "exclude") for value in query.get("exclude", ()) for part in value.split(",") if part
    ]
    explain = query.get("explain", ["0"])[-1] in ("1", "true")
    if not body:
        if len(exclude) > EXCLUDE_MAX:
            raise _too_many("exclude", EXCLUDE_MAX)
        return Wanted(k, exclude, explain=explain)
    parsed = body if isinstance(body, dict) else read_json(body)
    found = read_object(parsed, "", BODY_FIELDS | more_fields)
    exclude += _ids(found.get("exclude"), "/exclude", EXCLUDE_MAX)
    if len(exclude) > EXCLUDE_MAX:
        raise _too_many("exclude", EXCLUDE_MAX)
    context = _context(found.get("context")) + _ids(found.get("items"), "/items", CONTEXT_MAX)
    said = found.get("explain")
    if said is not None and not isinstance(said, bool):
        raise Refusal(400, "wrong_type", "explain must be true or false.", pointer="/explain")
    return Wanted(k, exclude, context, _filters(found.get("filters")), explain if said is None else said)


def read_k(query: Query) -> int:
    """Read k, how many items to give; 10 when nothing is said."""
    values = query.get("k")
    if values is None:
        return K_DEFAULT
    text = values[-1]
    if len(values) == 1 and WHOLE.fullmatch(text) and 1 <= int(text) <= K_MAX:
        return int(text)
    raise Refusal(422, "k_out_of_range", f"k must be one whole number from 1 to {K_MAX}.", pointer="k")


def read_one(query: Query, name: str) -> str:
    """Read the one id that a request must name in its URL, such as the user."""
    values = query.get(name, [])
    if len(values) > 1:
        raise Refusal(400, "given_twice", f"Give {name} once.", pointer=name)
    if not values or not values[0]:
        raise Refusal(400, f"{name}_missing", f"Say whom it is for: add ?{name}=… to the URL.", pointer=name)
    return read_id(values[0], name)


def read_id(encoded: str, where: str) -> str:
    """Decode an id from a URL, once, and check it."""
    if "%" not in encoded and "+" not in encoded and encoded.isascii():
        return check_id(encoded, where)
    raw = unquote_to_bytes(encoded.replace("+", " ").encode("latin-1"))
    try:
        return check_id(raw.decode(), where)
    except UnicodeDecodeError:
        raise Refusal(422, "not_utf8", f"{where} is not UTF-8.", pointer=where) from None


def check_id(text: str, where: str) -> str:
    """Bring an id to the form that uploads have; refuse one that no upload can hold."""
    name = text.strip(" ")
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    if not name:
        raise Refusal(422, "empty_id", f"{where} is empty.", pointer=where)
    if len(name) > ID_MAX_BYTES or len(name.encode()) > ID_MAX_BYTES:
        raise Refusal(422, "id_too_long", f"{where} is longer than {ID_MAX_BYTES} bytes.", pointer=where)
    if CONTROL.search(name):
        raise Refusal(422, "control_character", f"{where} contains a control character.", pointer=where)
    return name


def read_json(body: bytes) -> Any:
    """Parse one JSON document: UTF-8, no NaN, no name twice in an object, at most 32 levels."""
    try:
        value = orjson.loads(body)
        json.loads(body, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        detail = str(error) if isinstance(error, Duplicate) else "The body is not JSON."
        raise Refusal(400, "malformed_json", detail) from None
    if _depth(value) > DEPTH_MAX:
        raise Refusal(400, "malformed_json", f"The body is nested deeper than {DEPTH_MAX} levels.")
    return value


class Duplicate(ValueError):
    """A name stands twice in one object."""


def read_object(value: object, pointer: str, known: set[str] | frozenset[str]) -> dict[str, Any]:
    """Take an object whose fields are all known; refuse the first that is not."""
    if not isinstance(value, dict):
        raise Refusal(400, "wrong_type", f"{pointer or 'The body'} must be a JSON object.", pointer=pointer)
    for name in value:
        if name not in known:
            listed = ", ".join(sorted(known))
            raise Refusal(
                400,
                "unknown_field",
                f"There is no field {name[:80]!r}; known: {listed}.",
                pointer=f"{pointer}/{name[:80]}",
            )
    return value


def _context(value: object) -> list[str]:
    if value is None:
        return []
    found = read_object(value, "/context", {"item_id", "cart", "device"})
    device = found.get("device")
    if device is not None and not (isinstance(device, str) and len(device) <= 64):
        raise Refusal(400, "wrong_type", "device must be a short text.", pointer="/context/device")
    viewed = found.get("item_id")
    looked_at = [] if viewed is None else _ids([viewed], "/context/item_id", 1)
    return looked_at + _ids(found.get("cart"), "/context/cart", CONTEXT_MAX)


def _filters(value: object) -> Filters:
    if value is None:
        return Filters()
    found = read_object(value, "/filters", {"category", "price_max"})
    price = found.get("price_max")
    if price is not None and (type(price) not in (int, float) or not isfinite(price) or price < 0):
        raise Refusal(
            400, "wrong_type", "price_max must be a number, 0 or more.", pointer="/filters/price_max"
        )
    names = found.get("category")
    if names is None:
        return Filters((), price)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise Refusal(400, "wrong_type", "category must be a list of names.", pointer="/filters/category")
    if len(names) > CATEGORIES_MAX:
        raise _too_many("/filters/category", CATEGORIES_MAX)
    return Filters(tuple(sorted(set(names))), price)


def _ids(value: object, pointer: str, most: int) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise Refusal(400, "wrong_type", f"{pointer} must be a list of ids.", pointer=pointer)
    if len(value) > most:
        raise _too_many(pointer, most)
    for at, each in enumerate(value):
        if not isinstance(each, str):
            raise Refusal(400, "wrong_type", "An item's id is a text.", pointer=f"{pointer}/{at}")
    return [check_id(each, f"{pointer}/{at}") for at, each in enumerate(value)]


def _too_many(where: str, most: int) -> Refusal:
    return Refusal(413, "too_many", f"{where} may have at most {most:,} entries.", pointer=where)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Duplicate(f"The name {twice[:80]!r} stands twice in one object.")
    return found


def _depth(value: object) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [inner for each in level for inner in _inner(each)]
    return deepest


def _inner(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value
