"""The best inner products without all of them: the longest items come first, and most never matter.

No product exceeds the product of both lengths (Cauchy & Schwarz). So a shopper is done as soon as her length
times that of the next item is below the last score on her list, and her list is the same as if all had been
scored. Teflioudi, Gemulla & Mykytiuk 2015, "LEMP: fast retrieval of large entries in a matrix product".
Columns in which all items are the same, as where a model keeps its users' biases, add the same to every
score and count for no length.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numba import njit

from engine.estimators.base import Hidden
from engine.estimators.products import FEW_ROWS, inner_products
from engine.interactions import Float32, Int32
from engine.topk import NOTHING, bits_of, offer

ITEMS_AT_ONCE = 1024  # for many users; few begin with as many, and each further part is twice as long
COPIED_BYTES = 256 * 2**20
SLACK, ROUNDING = np.float32(1.0001), np.float32(1e-5)  # products, lengths and sums are rounded


@dataclass(frozen=True)
class LongestFirst:
    """items: (n_items, d); order: (n_items,), the longest first; place: where each item stands in it;
    lengths: in that order; sorted: a copy of the items in it, or None where that would be a large one;
    same: (d,), 1 in the columns that count for no length.

    Few users are only worth it with the copy: reading rows here and there takes longer than reading all.
    """

    items: Float32
    sorted: Float32 | None
    order: Int32
    place: Int32
    lengths: Float32
    same: Float32

    @classmethod
    def of(cls, items: Float32) -> Self:
        """Put rows in order, which stay where they are."""
        same = (items == items[0]).all(axis=0).astype(np.float32)
        lengths = lengths_of(items, 1 - same)
        order = np.argsort(-lengths, kind="stable").astype(np.int32)
        place = np.empty_like(order)
        place[order] = np.arange(len(order), dtype=np.int32)
        copied = items[order] if items.nbytes <= COPIED_BYTES else None
        return cls(items, copied, order, place, lengths[order], same)

    def rank(self, users: Float32, hidden: Hidden, keys: Int32, kept: Int32) -> None:
        """Fill the heaps, (n, k), of (n, d) users with the best items."""
        own, shift = lengths_of(users, 1 - self.same), users @ (self.same * self.items[0])
        rows = np.arange(len(users), dtype=np.int32)
        closed = None
        if hidden.everywhere is not None:
            closed = np.zeros(len(self.items), np.bool_)
            closed[self.place[hidden.everywhere]] = True
        first, step = 0, ITEMS_AT_ONCE
        while first < len(self.items):
            rows = still_open(rows, own, self.lengths[first] * SLACK, shift, keys)
            if not len(rows):
                break
            names = self.order[first : first + step]
            part = self.items[names] if self.sorted is None else self.sorted[first : first + step]
            scores = inner_products(users[rows], part)
            if hidden.indptr is not None:
                mask_places(scores, hidden.indptr, hidden.indices, rows, self.place, first)
            if closed is not None:
                scores[:, closed[first : first + step]] = -np.inf
            offer(scores.view(np.int32), names, rows, keys, kept)
            first += step
            step = ITEMS_AT_ONCE if len(users) > FEW_ROWS else 2 * step


def lengths_of(rows: Float32, counts: Float32) -> Float32:
    """Measure rows, (n,), in the columns that count, without a copy of them."""
    return np.asarray(np.sqrt(np.einsum("nk,nk,k->n", rows, rows, counts)), np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def still_open(rows, own, length, shift, keys):  # type: ignore[no-untyped-def]
    """Keep the rows whose heap an item of this length could enter; what is no number stays."""
    left = np.empty_like(rows)
    bits = np.empty(1, np.int32)
    lowest = bits.view(np.float32)
    n = 0
    for row in rows:
        bits[0] = bits_of(keys[row, 0])
        most = own[row] * length + shift[row] + ROUNDING * abs(shift[row])
        if keys[row, 0] == NOTHING or not most < lowest[0]:
            left[n] = row
            n += 1
    return left[:n]


@njit(cache=True, nogil=True, error_model="numpy")
def mask_places(scores, indptr, indices, rows, place, first):  # type: ignore[no-untyped-def]
    """Set to -inf what a CSR lists: row i of scores is its row rows[i], the first column at place `first`."""
    for at in range(len(rows)):
        for entry in range(indptr[rows[at]], indptr[rows[at] + 1]):
            column = place[indices[entry]] - first
            if 0 <= column < scores.shape[1]:
                scores[at, column] = -np.inf
