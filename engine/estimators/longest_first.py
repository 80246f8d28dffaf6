"""The best inner products without all of them: the longest items come first, and most never matter.

No product exceeds the product of both lengths (Cauchy & Schwarz). So a shopper is done as soon as her length
times that of the next item is below the last score on her list, and her list is the same as if all had been
scored. Teflioudi, Gemulla & Mykytiuk 2015, "LEMP: fast retrieval of large entries in a matrix product".
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from numba import njit

from engine.estimators.base import Hidden
from engine.interactions import Float32, Int32
from engine.topk import lowest_kept, offer

ITEMS_AT_ONCE = 1024
SLACK = 1.0001  # products and lengths are rounded


@dataclass(frozen=True)
class LongestFirst:
    """items: (n_items, d); order: (n_items,), the longest first; place: where each item stands in it;
    lengths: in that order.
    """

    items: Float32
    order: Int32
    place: Int32
    lengths: npt.NDArray[np.float64]

    @classmethod
    def of(cls, items: Float32) -> Self:
        """Put rows in order, which stay where they are."""
        lengths = lengths_of(items)
        order = np.argsort(-lengths, kind="stable").astype(np.int32)
        place = np.empty_like(order)
        place[order] = np.arange(len(order), dtype=np.int32)
        return cls(items, order, place, lengths[order])

    def rank(self, users: Float32, hidden: Hidden, keys: Int32, kept: Int32) -> None:
        """Fill the heaps, (n, k), of (n, d) users with the best items."""
        own = lengths_of(users)
        rows = np.arange(len(users), dtype=np.int32)
        closed = None
        if hidden.everywhere is not None:
            closed = np.zeros(len(self.items), np.bool_)
            closed[self.place[hidden.everywhere]] = True
        for first in range(0, len(self.items), ITEMS_AT_ONCE):
            out_of_reach = own[rows] * (self.lengths[first] * SLACK) < lowest_kept(keys[rows])
            rows = rows[~out_of_reach]
            if not len(rows):
                break
            names = self.order[first : first + ITEMS_AT_ONCE]
            scores = users[rows] @ self.items[names].T
            if hidden.indptr is not None:
                mask_places(scores, hidden.indptr, hidden.indices, rows, self.place, first)
            if closed is not None:
                scores[:, closed[first : first + ITEMS_AT_ONCE]] = -np.inf
            offer(scores.view(np.int32), names, rows, keys, kept)


def lengths_of(rows: Float32) -> npt.NDArray[np.float64]:
    """Measure rows, (n,), without a copy of them."""
    return np.sqrt(np.einsum("nk,nk->n", rows, rows, dtype=np.float64))


@njit(cache=True, nogil=True, error_model="numpy")
def mask_places(scores, indptr, indices, rows, place, first):  # type: ignore[no-untyped-def]
    """Set to -inf what a CSR lists: row i of scores is its row rows[i], the first column at place `first`."""
    for at in range(len(rows)):
        for entry in range(indptr[rows[at]], indptr[rows[at] + 1]):
            column = place[indices[entry]] - first
            if 0 <= column < scores.shape[1]:
                scores[at, column] = -np.inf
