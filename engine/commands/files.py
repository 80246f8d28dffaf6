"""Read what a person has: interactions in one or two files, and what is known of the items."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.catalogue import CheckedItems, check_items
from engine.event_weights import EventWeights
from engine.interactions import IdTable, Int32, Interactions
from engine.items import ItemFacts
from engine.refusals import FileRefused, show
from engine.roles import KNOWN_NAMES, normalise_name, roles_by_name
from engine.sniffing import FileFormat, sniff
from engine.validation import CheckedFile, check_interactions

PLACES = {"user": "first", "item": "second", "value": "third", "time": "fourth"}


def read_together(*paths: Path, weighing: EventWeights | None = None) -> list[Interactions]:
    """Read files of interactions over the ids of all of them, so that a position means the same in each."""
    parts = [read_interactions(path, weighing) for path in paths]
    if len(parts) == 1:
        return parts
    users, user_at = _join([part.user_ids for part in parts])
    items, item_at = _join([part.item_ids for part in parts])
    return [
        replace(
            part, user_ids=users, item_ids=items, users=user_at[at][part.users], items=item_at[at][part.items]
        )
        for at, part in enumerate(parts)
    ]


def read_interactions(path: Path, weighing: EventWeights | None = None) -> Interactions:
    """Check a file as the portal does; raise ValueError, naming file and line, when it cannot be used."""
    try:
        found = sniff(path)
        checked = check_interactions(path, found, find_roles(found), weighing=weighing)
    except FileRefused as refused:
        at = "" if refused.line is None else f"line {refused.line}: "
        raise ValueError(f"{path.name}: {at}{refused.detail} {refused.hint}") from refused
    if checked.interactions is None:
        raise ValueError(_first_problem(path, checked))
    return checked.interactions


def find_roles(found: FileFormat) -> dict[str, int]:
    """Say which column is what: as the header names it, and else by its place, user, item[, value[, time]].

    Raises FileRefused when a place contradicts the header or what stands there.
    """
    named = roles_by_name(found.columns) if found.has_header else {}
    roles = dict(named)
    for (role, ordinal), (at, name) in zip(PLACES.items(), enumerate(found.columns), strict=False):
        if role in named:
            continue
        if at in named.values() and role in ("user", "item"):
            raise _contradiction(f"The {ordinal} column, where the {role} is expected, is “{show(name)}”.")
        if role in ("value", "time") and normalise_name(name) in KNOWN_NAMES:
            continue  # it is something else, which nothing here reads
        if role == "value" and found.roles.get("time") == at:
            raise _contradiction(f"The {ordinal} column, where the value is expected, holds times.")
        roles[role] = at
    return roles


def _contradiction(detail: str) -> FileRefused:
    hint = "Name the columns in the first line: user,item,value,time, those that there are, in any order."
    return FileRefused("contradictory_columns", detail, hint, 1)


def read_items(path: Path | None, item_ids: IdTable) -> ItemFacts | None:
    """Read what is known of items, by the names of its columns, in the order of an id table."""
    if path is None:
        return None
    found = sniff(path)
    roles: Mapping[str, int] = found.roles if "item" in found.roles else {**found.roles, "item": 0}
    checked = check_items(path, found, roles)
    if checked.catalogue is None:
        raise ValueError(_first_problem(path, checked))
    return checked.catalogue.facts_of(item_ids)


def positions_of(asked: Sequence[str], known: IdTable, what: str) -> Int32:
    """Look ids up; raise ValueError, naming the first that is not known."""
    unknown = [each for each in asked if each not in known.positions]
    if unknown:
        raise ValueError(f"there is no {what} {unknown[0]!r}")
    return np.array([known.positions[each] for each in asked], np.int32)


def _first_problem(path: Path, checked: CheckedFile | CheckedItems) -> str:
    first: Any = checked.problems[0]
    return f"{path.name}: {checked.problem_count:,} bad lines; line {first.line}: {first.detail} {first.hint}"


def _join(tables: Sequence[IdTable]) -> tuple[IdTable, list[Int32]]:
    """Merge id tables; give for each table where its positions went."""
    lists = [table.to_list() for table in tables]
    position = {name: at for at, name in enumerate(dict.fromkeys(name for names in lists for name in names))}
    return IdTable.of(position), [np.array([position[name] for name in names], np.int32) for names in lists]
