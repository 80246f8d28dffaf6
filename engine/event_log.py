"""Every row of a file of events, kept beside its interactions, so that each training may weigh them anew."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from engine.event_weights import EventWeights, decay, normalise_type
from engine.interactions import (
    Float32,
    IdTable,
    Int32,
    Int64,
    Interactions,
    map_member,
    save_members,
)

MOST_TYPES = 50  # a column with more different texts tells something else than kinds of events
MOST_CHARACTERS = 100


@dataclass(frozen=True)
class EventLog:
    """All rows, repeats too, by the positions of the interactions' id tables.

    types: the event types in small letters; users, items, type_of: (n,) int32; values: (n,) float32, 1 where
    the file has none; times: (n,) int64 seconds since 1970, None where the file has none.
    """

    types: IdTable
    users: Int32
    items: Int32
    type_of: Int32
    values: Float32
    times: Int64 | None

    def __len__(self) -> int:
        return len(self.users)

    def counts(self) -> dict[str, int]:
        """Give the number of rows of each type, most first."""
        rows = np.bincount(self.type_of, minlength=len(self.types))
        order = np.argsort(-rows, kind="stable").tolist()
        return {self.types[at]: int(rows[at]) for at in order}

    def save(self, folder: Path) -> None:
        """Write one `.npy` a member into `folder` (made if missing)."""
        members: dict[str, npt.NDArray[Any]] = {
            "users": self.users,
            "items": self.items,
            "type_of": self.type_of,
            "values": self.values,
        }
        if self.times is not None:
            members["times"] = self.times
        save_members(folder, {**self.types.members("type"), **members})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Memory-map what `save` wrote."""
        return cls(
            types=IdTable.load(folder, "type"),
            users=map_member(folder, "users"),
            items=map_member(folder, "items"),
            type_of=map_member(folder, "type_of"),
            values=map_member(folder, "values"),
            times=map_member(folder, "times") if (folder / "times.npy").exists() else None,
        )


class EventTypes(dict[str, int]):
    """Number event types in the order they are first seen; `names` are those by code, in small letters."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.are_too_many = False

    def __missing__(self, raw: str) -> int:
        name = normalise_type(raw)
        if name in self:
            return self[name]
        if len(self.names) == MOST_TYPES or len(raw) > MOST_CHARACTERS:
            self.are_too_many = True
            return 0
        self[name] = self[raw] = len(self.names)
        self.names.append(name)
        return self[name]

    def read(self, column: Sequence[str]) -> Int32:
        """Give the (n,) codes of a column; what they are is open once there are too many."""
        return np.fromiter(map(self.__getitem__, column), np.int32, len(column))


def weigh_events(interactions: Interactions, log: EventLog | None, weighing: EventWeights) -> Interactions:
    """Turn values into what the rows of each pair weigh together; a pair of no weight drops out.

    log: of the same file. None: there are no types, and the one row of each pair that stands is weighed.
    The entries that stay keep their order and times, so that a split holds out the same ones.
    Raises ValueError when the file lacks types or times that are needed, or one has no weight.
    """
    if weighing.half_life_days is not None and interactions.times is None:
        raise ValueError("a half-life needs times, and the file has none")
    if log is None:
        if weighing.by_type is not None:
            raise ValueError("event weights need a column of event types, and the file has none")
        sums = interactions.values.astype(np.float64)
        sums *= decay(interactions.times, weighing.half_life_days)
    else:
        sums = _sum_by_pair(interactions, log, weighing)
    kept = sums > 0
    return replace(interactions.part(kept), values=sums[kept].astype(np.float32))


def _sum_by_pair(
    interactions: Interactions, log: EventLog, weighing: EventWeights
) -> npt.NDArray[np.float64]:
    amounts = log.values.astype(np.float64)
    if weighing.by_type is not None:
        names = log.types.to_list()
        missing = [name for name in names if name not in weighing.by_type]
        if missing:
            raise ValueError(f"the event type {missing[0]!r} has no weight; 0 leaves such rows out")
        amounts *= np.array([weighing.by_type[name] for name in names])[log.type_of]
    amounts *= decay(log.times, weighing.half_life_days)
    n_items = interactions.shape[1]
    pairs = interactions.users.astype(np.int64) * n_items + interactions.items
    order = np.argsort(pairs, kind="stable")
    rows = log.users.astype(np.int64) * n_items + log.items
    place = order[np.searchsorted(pairs[order], rows)]
    return np.asarray(np.bincount(place, amounts, minlength=len(pairs)), np.float64)
