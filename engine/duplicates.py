"""One entry a (user, item) pair: the last one stands."""

import numpy as np
import numpy.typing as npt

from engine.interactions import Float32, Int32, Int64


def find_superseded(users: Int32, items: Int32, times: Int64 | None) -> tuple[npt.NDArray[np.bool_], Int64]:
    """Mark the entries that a later one of the same user and item replaces.

    Later means a later time; at the same time, or without times, further down in the file.
    Returns ((n,) marks, (m,) for each marked position, ascending, the position that replaces it).
    """
    superseded = np.zeros(len(users), bool)
    n_items = int(items.max(initial=0)) + 1
    pairs = users.astype(np.int64) * n_items + items
    ordered = np.sort(pairs)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(repeated):
        return superseded, np.zeros(0, np.int64)
    slots = np.minimum(np.searchsorted(repeated, pairs), len(repeated) - 1)
    candidates = np.flatnonzero(repeated[slots] == pairs)
    keys = (pairs[candidates],) if times is None else (times[candidates], pairs[candidates])
    candidates = candidates[np.lexsort(keys)]
    group = pairs[candidates]
    is_last = np.append(group[1:] != group[:-1], True)
    ends = np.flatnonzero(is_last)
    winners = candidates[ends[np.searchsorted(ends, np.arange(len(candidates)))]]
    losers = candidates[~is_last]
    superseded[losers] = True
    return superseded, winners[~is_last][np.argsort(losers)]


def count_conflicts(values: Float32, superseded: npt.NDArray[np.bool_], winners: Int64) -> int:
    """Count the superseded entries whose value differs from the one that stands."""
    return int(np.count_nonzero(values[superseded] != values[winners]))
