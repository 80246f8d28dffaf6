"""From an outside id to its position, by a hash table beside the mapped ids.

A dictionary of a million ids takes most of a second to build and a hundred megabytes a process; this
table takes four bytes a slot and compares with the mapped text itself. The seed is drawn per process,
so that nobody can choose ids that collide.
"""

import secrets
from collections.abc import Sequence

import numpy as np
from numba import njit

from engine.interactions import Bytes, IdTable, Int32

EMPTY = np.int32(-1)


class IdIndex:
    """Find the positions of ids in an `IdTable`; -1 stands for an id that is not in it."""

    def __init__(self, ids: IdTable, *, seed: int | None = None) -> None:
        self._seed = np.uint64(secrets.randbits(64) if seed is None else seed)
        self._offsets = np.asarray(ids.offsets)
        self._text = np.asarray(ids.text)
        slots = max(2, 1 << (2 * max(1, len(ids)) - 1).bit_length())  # at most half full
        self._table = np.full(slots, EMPTY, np.int32)
        fill(self._table, self._offsets, self._text, self._seed)

    def find(self, name: str) -> int:
        """Find one id's position, -1 when there is none."""
        key = np.frombuffer(name.encode(), np.uint8)
        return int(look_up(self._table, self._offsets, self._text, self._seed, key))

    def find_all(self, names: Sequence[str]) -> Int32:
        """Find the positions of those ids that are known, sorted, each once."""
        if not names:
            return np.empty(0, np.int32)
        asked = IdTable.of(names)
        found = np.empty(len(names), np.int32)
        look_up_all(self._table, self._offsets, self._text, self._seed, asked.offsets, asked.text, found)
        return np.unique(found[found >= 0])


def compile_index() -> None:
    """Compile the kernels, into Numba's cache, as a mapped artifact calls them."""
    made = IdTable.of(["one"])
    index = IdIndex(IdTable(made.offsets.copy(), made.text.copy()))
    index.find("one")
    index.find_all(["one"])


@njit(cache=True, nogil=True)
def hash_bytes(text: Bytes, start: int, stop: int, seed: np.uint64) -> np.uint64:
    """Hash text[start:stop] to 64 bits (FNV-1a from a seed, finished by MurmurHash3's mixer)."""
    value = np.uint64(0xCBF29CE484222325) ^ seed
    for at in range(start, stop):
        value = (value ^ np.uint64(text[at])) * np.uint64(0x100000001B3)
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


@njit(cache=True, nogil=True)
def fill(table, offsets, text, seed):  # type: ignore[no-untyped-def]
    """Put every position into the first free slot from its id's hash on."""
    last = np.uint64(len(table) - 1)
    for position in range(len(offsets) - 1):
        slot = hash_bytes(text, offsets[position], offsets[position + 1], seed) & last
        while table[slot] >= 0:
            slot = (slot + np.uint64(1)) & last
        table[slot] = position


@njit(cache=True, nogil=True)
def look_up(table, offsets, text, seed, key):  # type: ignore[no-untyped-def]
    """Find the position whose id is `key`, or -1."""
    last = np.uint64(len(table) - 1)
    slot = hash_bytes(key, 0, len(key), seed) & last
    while table[slot] >= 0:
        position = table[slot]
        start = offsets[position]
        if offsets[position + 1] - start == len(key):
            same = True
            for at in range(len(key)):
                if text[start + at] != key[at]:
                    same = False
                    break
            if same:
                return position
        slot = (slot + np.uint64(1)) & last
    return np.int32(-1)


@njit(cache=True, nogil=True)
def look_up_all(table, offsets, text, seed, key_offsets, key_text, found):  # type: ignore[no-untyped-def]
    """Write the position of each key, or -1, into `found`."""
    for at in range(len(found)):
        key = key_text[key_offsets[at] : key_offsets[at + 1]]
        found[at] = look_up(table, offsets, text, seed, key)
