"""What this stage keeps in storage beside rows: checked data, and metrics of single users.

A tree's digest is the SHA-256 of the list of its files with theirs, so it names the content.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from engine.catalogue import Catalogue
from engine.evaluation import PerUser
from engine.event_log import EventLog, weigh_events
from engine.event_weights import EventWeights
from engine.interactions import Float32, Int32, Interactions
from engine.items import ItemFacts
from portal.core.storage import store_tree, tree_path

PER_USER = "per_user.npz"


@dataclass(frozen=True)
class Snapshot:
    """The checked content of one dataset version; events: all rows, where the file has event types."""

    interactions: Interactions
    catalogue: Catalogue | None
    events: EventLog | None = None

    def item_facts(self) -> ItemFacts | None:
        """What is known of items, in the order of the interactions' item table."""
        return None if self.catalogue is None else self.catalogue.facts_of(self.interactions.item_ids)

    def weighed(self, weighing: EventWeights) -> Self:
        """Give it with values that are what the rows of each pair weigh; positions stay."""
        return replace(self, interactions=weigh_events(self.interactions, self.events, weighing))


def keep_snapshot(folder: Path, snapshot: Snapshot) -> str:
    """Write a snapshot into the empty `folder`, move that into storage and return its digest."""
    snapshot.interactions.save(folder / "interactions")
    if snapshot.catalogue is not None:
        snapshot.catalogue.save(folder / "items")
    if snapshot.events is not None:
        snapshot.events.save(folder / "events")
    return _keep(folder)


def load_snapshot(digest: str) -> Snapshot:
    """Memory-map the snapshot kept under `digest`; items that nobody chose come after the others."""
    folder = tree_path(digest)
    interactions, items = Interactions.load(folder / "interactions"), folder / "items"
    events = EventLog.load(folder / "events") if (folder / "events").exists() else None
    if not items.exists():
        return Snapshot(interactions, None, events)
    catalogue = Catalogue.load(items)
    return Snapshot(interactions.with_items(catalogue.ids), catalogue, events)


def load_history(digest: str, user: int) -> tuple[Int32, Float32] | None:
    """Read what one user chose, items and values, without the rest; None where the snapshot is gone."""
    folder = tree_path(digest) / "interactions"
    if not digest or not folder.exists():
        return None
    kept = Interactions.load(folder)
    mine = np.flatnonzero(kept.users == user)
    return kept.items[mine], kept.values[mine]


def keep_per_user(folder: Path, per_user: PerUser) -> str:
    """Write each test user's metrics into the empty `folder`, move that into storage; return its digest."""
    per_user.save(folder / PER_USER)
    return _keep(folder)


def load_per_user(digest: str) -> PerUser:
    """Read the metrics kept under `digest`."""
    return PerUser.load(tree_path(digest) / PER_USER)


def _keep(folder: Path) -> str:
    listing = hashlib.sha256()
    for path in sorted(folder.rglob("*.np[yz]")):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        listing.update(f"{digest}  {path.relative_to(folder)}\n".encode())
    store_tree(folder, listing.hexdigest())
    return listing.hexdigest()
