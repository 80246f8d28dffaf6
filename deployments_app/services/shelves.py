"""What shoppers would see: a few of them before and after, and the share of all lists that changes."""

from dataclasses import asdict
from typing import Any

from models_app.models import ModelVersion
from models_app.selectors import list_overlap, preview, sample_users
from models_app.selectors.previews import Preview

SHOPPERS = 6
COMPARED = 400  # shoppers whose lists are compared, from the least to the most active
LIST = 10


def compare_shelves(version: ModelVersion, live: ModelVersion | None) -> dict[str, Any]:
    """Put the lists of some shoppers side by side, and measure how much the lists change overall."""
    shoppers = [_shopper(version, live, user) for user in sample_users(version, SHOPPERS)]
    if live is None:
        return {"shoppers": shoppers, "changed_share": None, "compared": 0, "k": LIST}
    found = list_overlap(version, live, sample_users(version, COMPARED), LIST)
    return {
        "shoppers": shoppers,
        "changed_share": None if found.mean is None else round(1.0 - found.mean, 4),
        "compared": found.n,
        "k": LIST,
    }


def _shopper(version: ModelVersion, live: ModelVersion | None, user: str) -> dict[str, Any]:
    new = preview(version, user, LIST, explain=True)
    old = preview(live, user, LIST, explain=True) if live is not None else None
    before = {line.item_id: line.rank for line in old.items} if old is not None else {}
    after = {line.item_id for line in new.items}
    return {
        "user": user,
        "is_known": new.is_known,
        "history": [asdict(line) for line in new.history[:LIST]],
        "history_size": new.history_size,
        "live": _lines(old, lost=lambda item: item not in after),
        "new": [{**asdict(line), **_change(line.item_id, line.rank, before, old)} for line in new.items],
    }


def _change(item: str, rank: int, before: dict[str, int], old: Preview | None) -> dict[str, Any]:
    """Say how an item's place changed: new, up, down, same; moved counts the places."""
    if old is None:
        return {"change": None, "moved": None}
    if item not in before:
        return {"change": "new", "moved": None}
    moved = before[item] - rank
    return {"change": "same" if moved == 0 else "up" if moved > 0 else "down", "moved": moved}


def _lines(found: Preview | None, *, lost: Any) -> list[dict[str, Any]]:
    if found is None:
        return []
    return [{**asdict(line), "is_lost": lost(line.item_id)} for line in found.items]
