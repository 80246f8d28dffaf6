"""Interactions in coordinate form, and the tables that map outside ids to row numbers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


def save_members(folder: Path, members: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write one `.npy` a member into `folder` (made if missing)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in members.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def map_member(folder: Path, name: str) -> Any:
    """Memory-map the array that was saved as `name`."""
    return np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)


@dataclass(frozen=True)
class IdTable:
    """Text ids by position, as one UTF-8 buffer, so that a table loads by memory map.

    offsets: (n + 1,) int64, where each id starts in `text`; text: (bytes,) uint8.
    """

    offsets: Int64
    text: Bytes

    @classmethod
    def of(cls, ids: Iterable[str]) -> Self:
        encoded = [value.encode() for value in ids]
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(value) for value in encoded], out=offsets[1:])
        return cls(offsets, np.frombuffer(b"".join(encoded), np.uint8))

    @classmethod
    def load(cls, folder: Path, name: str) -> Self:
        """Memory-map the table whose `members` were saved under this name."""
        return cls(map_member(folder, f"{name}_offsets"), map_member(folder, f"{name}_text"))

    def members(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """Name the arrays to save."""
        return {f"{name}_offsets": self.offsets, f"{name}_text": self.text}

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, position: int) -> str:
        return self.text[self.offsets[position] : self.offsets[position + 1]].tobytes().decode()

    def to_list(self) -> list[str]:
        raw = self.text.tobytes()
        bounds = self.offsets.tolist()
        return [raw[a:b].decode() for a, b in pairwise(bounds)]

    @cached_property
    def positions(self) -> dict[str, int]:
        """Map each id to its position (built at first use: about 0.1 µs an id)."""
        return {value: position for position, value in enumerate(self.to_list())}


@dataclass(frozen=True)
class Interactions:
    """Checked interactions: one entry a (user, item) pair.

    users, items: (n,) int32 positions in the id tables; values: (n,) float32, finite;
    times: (n,) int64 seconds since 1970 UTC, or None when the file had no time.
    """

    user_ids: IdTable
    item_ids: IdTable
    users: Int32
    items: Int32
    values: Float32
    times: Int64 | None = None

    def __len__(self) -> int:
        return len(self.users)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.user_ids), len(self.item_ids)

    def with_items(self, ids: IdTable) -> Self:
        """Add the items of a catalogue that nobody has chosen: empty columns after those that are there.

        ids: distinct. Positions of items that are there stay, so that entries need no change.
        """
        known = self.item_ids.positions
        new = [item for item in ids.to_list() if item not in known]
        return replace(self, item_ids=IdTable.of([*self.item_ids.to_list(), *new])) if new else self

    def matrix(self, keep: npt.NDArray[np.bool_] | slice = slice(None)) -> sp.csr_matrix:
        """Build the (n_users, n_items) CSR of the kept entries, indices sorted."""
        matrix = sp.csr_matrix((self.values[keep], (self.users[keep], self.items[keep])), shape=self.shape)
        matrix.sort_indices()
        return matrix

    def matrix_times(self, keep: npt.NDArray[np.bool_] | slice = slice(None)) -> Int64 | None:
        """Give the times of the kept entries in the order in which `matrix` stores them, (nnz,) int64."""
        if self.times is None:
            return None
        order = np.lexsort((self.items[keep], self.users[keep]))
        return np.asarray(self.times[keep][order], np.int64)

    def part(self, keep: npt.NDArray[np.bool_]) -> Self:
        """Keep some entries, over the same ids and so the same positions; keep: (n,) bool."""
        times = None if self.times is None else self.times[keep]
        return replace(
            self, users=self.users[keep], items=self.items[keep], values=self.values[keep], times=times
        )

    def save(self, folder: Path) -> None:
        """Write one `.npy` a member into `folder` (made if missing)."""
        members: dict[str, npt.NDArray[Any]] = {
            "users": self.users,
            "items": self.items,
            "values": self.values,
        }
        if self.times is not None:
            members["times"] = self.times
        save_members(folder, {**self.user_ids.members("user"), **self.item_ids.members("item"), **members})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Memory-map what `save` wrote."""
        return cls(
            user_ids=IdTable.load(folder, "user"),
            item_ids=IdTable.load(folder, "item"),
            users=map_member(folder, "users"),
            items=map_member(folder, "items"),
            values=map_member(folder, "values"),
            times=map_member(folder, "times") if (folder / "times.npy").exists() else None,
        )
