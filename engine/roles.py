"""Which column is what, by its name first and by what stands in it second."""

import re
from collections.abc import Mapping, Sequence

from engine.fields import NUMBER
from engine.refusals import FileRefused
from engine.times import DATE_TIME, LATEST_TIME, guess_ticks, read_date

Rows = Sequence[Sequence[str]]

INTERACTION_ROLES = ("user", "item", "value", "time", "event_type")
ITEM_ROLES = ("item", "title", "category", "price", "seller")

# In each line the surest name first. Compared in small letters, without "_", "-" and spaces; RecBole's
# ":token" is cut off.
_NAMES = """
user: userid user uid customerid customer clientid client visitorid visitor shopperid shopper memberid member
    reviewerid reviewer buyerid buyer accountid account profileid viewerid username
item: itemid item iid productid product sku asin parentasin articleid article movieid movie bookid book isbn
    trackid track songid song artistid artist businessid gameid contentid variantid
value: rating value score stars overall preference weight quantity qty count playcount plays playtime
    reviewscore reviewrating ratingscore amountbought clicks views
time: timestamp time datetime date ts createdat eventtime occurredat ratedat unixreviewtime reviewtime
    purchasedat purchasedate orderdate orderedat eventtimestamp unixtime updatedat invoicedate
event_type: eventtype event feedbacktype action actiontype behavior behaviour interactiontype
title: title name itemname producttitle productname movietitle booktitle itemtitle description
category: category categories genres genre categoryname productcategory maincategory department itemcategory
    class categoryid tags brand
price: price unitprice listprice itemprice productprice saleprice
seller: seller sellerid sellername soldby merchant merchantid merchantname vendor vendorid vendorname supplier
    supplierid suppliername
"""
NAMES: Mapping[str, Sequence[str]] = {
    role: names.split() for role, names in re.findall(r"^(\w+):((?: \w+|\n +\w+)+)", _NAMES, re.MULTILINE)
}
KNOWN_NAMES = frozenset(name for names in NAMES.values() for name in names) | {"id"}

HEADERLESS_VALUES, NAMED_VALUES = (-10, 100, 101), (-10, 10, 21)  # lowest, highest, most distinct


def normalise_name(name: str) -> str:
    """Reduce a header name to what is compared."""
    return re.sub(r"[\W_]", "", name.partition(":")[0]).lower()


def looks_like_header(rows: Rows) -> bool:
    """Tell whether the first of `rows` names the columns of the others."""
    first, rest = rows[0], rows[1:]
    if any(_is_number(cell) or _is_time(cell) for cell in first):
        return False
    below = [[row[index] for row in rest if index < len(row)] for index in range(len(first))]
    for cell, values in zip(first, below, strict=True):
        if normalise_name(cell) in KNOWN_NAMES and cell not in values:
            return True
        if not values or not cell.strip():
            continue
        if sum(_is_number(value) or _is_time(value) for value in values) >= 0.9 * len(values):
            return True
        if not _has_digit(cell) and all(_has_digit(value) for value in values):
            return True
    return False


def guess_roles(columns: Sequence[str], rows: Rows, *, has_header: bool) -> tuple[str, dict[str, int]]:
    """Return ("interactions" or "items", column index by role); what cannot be told is left out.

    rows: a sample without the header.
    """
    names = [normalise_name(name) for name in columns] if has_header else [""] * len(columns)
    rows = [row for row in rows if len(row) == len(columns)]
    content = [[row[index] for row in rows] for index in range(len(columns))]
    if _is_item_file(names, content):
        return "items", _item_roles(names, content)
    return "interactions", _interaction_roles(names, content)


def roles_by_name(columns: Sequence[str]) -> dict[str, int]:
    """Give the columns of interactions that a header names, by role."""
    return _all_by_name(INTERACTION_ROLES, [normalise_name(name) for name in columns])


def _is_item_file(names: Sequence[str], content: Rows) -> bool:
    if _by_name("user", names) is not None:
        return False
    if _by_name("title", names) is not None:
        return _by_name("item", names) is not None or "id" in names
    if any(names) or len(content) < 2 or len(content[0]) < 2:
        return False
    return _is_distinct(content[0]) and any(_is_prose(column) for column in content[1:])


def _item_roles(names: Sequence[str], content: Rows) -> dict[str, int]:
    if any(names):
        roles = _all_by_name(ITEM_ROLES, names)
        if "item" not in roles and "id" in names:
            roles = {"item": names.index("id"), **roles}
        return roles
    title = next(index for index in range(1, len(content)) if _is_prose(content[index]))
    roles = {"item": 0, "title": title}
    others = [index for index in range(1, len(content)) if index != title]
    for index in others:
        numeric = bool(content[index]) and all(_is_number(value) for value in content[index] if value)
        roles.setdefault("price" if numeric else "category", index)
    return roles


def _interaction_roles(names: Sequence[str], content: Rows) -> dict[str, int]:
    roles = _all_by_name(INTERACTION_ROLES, names)
    if "item" not in roles and "id" in names:
        roles["item"] = names.index("id")
    seller = _by_name("seller", names)
    if "item" not in roles and seller is not None:
        roles["item"] = seller  # where sellers are what people choose among
    free = [
        index
        for index in range(len(names))
        if index not in roles.values()
        and names[index] not in KNOWN_NAMES
        and not _is_row_number(content[index])
    ]
    if "time" not in roles:
        _take("time", [index for index in free if _is_time_column(content[index])], roles, free)
    bounds = NAMED_VALUES if "user" in roles and "item" in roles else HEADERLESS_VALUES
    values = [index for index in free if _is_value_column(content[index], *bounds)]
    missing = [role for role in ("user", "item") if role not in roles]
    if "value" not in roles and len(free) > len(missing):
        _take("value", [index for index in values if index not in free[: len(missing)]], roles, free)
    for role in missing:
        _take(role, free, roles, free)
    return {role: roles[role] for role in INTERACTION_ROLES if role in roles}


def _take(role: str, candidates: Sequence[int], roles: dict[str, int], free: list[int]) -> None:
    if candidates:
        roles[role] = candidates[0]
        free.remove(candidates[0])


def _all_by_name(wanted: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    found = {role: _by_name(role, names) for role in wanted}
    return {role: index for role, index in found.items() if index is not None}


def _by_name(role: str, names: Sequence[str]) -> int | None:
    return next((names.index(name) for name in NAMES[role] if name in names), None)


def _is_number(text: str) -> bool:
    return NUMBER.fullmatch(text) is not None


def _is_time(text: str) -> bool:
    return DATE_TIME.fullmatch(text) is not None


def _has_digit(text: str) -> bool:
    return any(character.isdigit() for character in text)


def _is_distinct(values: Sequence[str]) -> bool:
    return len(set(values)) == len(values)


def _is_prose(values: Sequence[str]) -> bool:
    """Tell titles ("Toy Story") from ids and single words."""
    return sum(" " in value.strip() for value in values) > len(values) / 2 and not any(map(_is_time, values))


def _is_row_number(values: Sequence[str]) -> bool:
    """Tell the counting column that table programs write."""
    return (
        len(values) > 2
        and values[0] in ("0", "1")
        and values == [str(int(values[0]) + n) for n in range(len(values))]
    )


def _is_time_column(values: Sequence[str]) -> bool:
    filled = [value for value in values if value.strip()]
    if not filled:
        return False
    ticks = guess_ticks(filled)
    if ticks is None:
        return sum(read_date(value) is not None for value in filled) >= 0.9 * len(filled)
    earliest = 300_000_000  # in 1979: smaller numbers are more often ids
    plausible = [_is_number(v) and earliest <= float(v) / ticks < LATEST_TIME for v in filled]
    return sum(plausible) >= 0.9 * len(filled)


def _is_value_column(values: Sequence[str], low: float, high: float, most_distinct: int) -> bool:
    filled = [value.replace(",", ".") for value in values if value.strip()]
    if not filled or not all(_is_number(value) for value in filled):
        return False
    numbers = {float(value) for value in filled}
    return len(numbers) <= most_distinct and low <= min(numbers) and max(numbers) <= high


def check_roles(columns: Sequence[str], roles: Mapping[str, int], required: Sequence[str]) -> None:
    """Raise FileRefused unless the required roles are there and each role has a column of its own."""
    named = ", ".join(columns)
    missing = [role for role in required if role not in roles]
    if missing:
        raise FileRefused(
            "missing_role",
            f"No column is chosen for {' and '.join(missing)}; the file has: {named}.",
            f"Choose the column that holds the {missing[0]}.",
            1,
        )
    outside = [role for role, index in roles.items() if not 0 <= index < len(columns)]
    if outside or len(set(roles.values())) < len(roles):
        raise FileRefused(
            "bad_roles",
            f"Each role needs a column of its own; the file has: {named}.",
            "Choose the columns again.",
            1,
        )
