"""The best k of each row of scores: block maxima first, then a heap over blocks that can still win.

Ties go to the lower position, and what is not finite is never chosen. Scores are compared by the
bits of their float32, turned into integers of the same order, so that neither NaN nor -0.0 needs
a rule of its own and the compiler can use wide instructions.
"""

import numpy as np
from numba import njit

from engine.interactions import Float32, Int32

BLOCK = 64
LOWEST, HIGHEST = np.int32(-2139095040), np.int32(2139095039)  # the keys of -max and +max of float32
NOTHING = np.int32(-2147483648)
FLIP, SIGN, LAST, ZERO = np.int32(0x7FFFFFFF), np.int32(31), np.int32(-1), np.int32(0)


def top_k(scores: Float32, k: int) -> tuple[Int32, Float32]:
    """Pick the k best columns of each row, best first.

    scores: (n, m) float32, C-contiguous. Returns items (n, k) int32, -1 where fewer than k
    scores are finite, and their scores (n, k) float32, -inf where there is no item.
    """
    items = np.empty((len(scores), k), np.int32)
    best = np.empty((len(scores), k), np.float32)
    select_top(scores, scores.view(np.int32), items, best)
    return items, best


@njit(cache=True, nogil=True, error_model="numpy")
def mask(scores, indptr, indices, first):  # type: ignore[no-untyped-def]
    """Set to -inf, in row r, the columns that row first + r of a CSR lists."""
    for row in range(scores.shape[0]):
        for at in range(indptr[first + row], indptr[first + row + 1]):
            scores[row, indices[at]] = -np.inf


@njit(cache=True, nogil=True, inline="always")
def order_key(bits):  # type: ignore[no-untyped-def]
    """Turn a float32's bits into an int32 that sorts like the number; NOTHING when not finite."""
    key = np.int32(bits ^ np.int32(np.int32(bits >> SIGN) & FLIP))
    key = ZERO if key == LAST else key  # -0.0 is 0.0
    key = NOTHING if key > HIGHEST else key
    return NOTHING if key < LOWEST else key


@njit(cache=True, nogil=True)
def sift_down(keys, items, size, key, item):  # type: ignore[no-untyped-def]
    """Replace the root (lowest key, among equals the highest item) and restore the heap."""
    parent = 0
    while True:
        child = 2 * parent + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (
            keys[right] < keys[child] or (keys[right] == keys[child] and items[right] > items[child])
        ):
            child = right
        if keys[child] > key or (keys[child] == key and items[child] < item):
            break
        keys[parent] = keys[child]
        items[parent] = items[child]
        parent = child
    keys[parent] = key
    items[parent] = item


@njit(cache=True, nogil=True, error_model="numpy")
def select_top(scores, bits, items, best):  # type: ignore[no-untyped-def]
    """Write each row's best columns and scores into items and best, best first."""
    n, m = scores.shape
    k = items.shape[1]
    blocks = (m + BLOCK - 1) // BLOCK
    maxima = np.empty(blocks, np.int32)
    keys = np.empty(k, np.int32)
    kept = np.empty(k, np.int32)
    for row in range(n):
        whole = m // BLOCK
        for block in range(blocks):
            highest = NOTHING
            part = bits[row][block * BLOCK : block * BLOCK + BLOCK]
            if block < whole:  # a constant length and a slice of its own: the compiler widens this loop
                for column in range(BLOCK):
                    highest = max(highest, order_key(part[column]))
            else:
                for column in range(len(part)):
                    highest = max(highest, order_key(part[column]))
            maxima[block] = highest
        keys[:] = NOTHING
        kept[:] = -1
        for block in range(blocks):
            if maxima[block] > keys[0]:
                for column in range(block * BLOCK, min(m, block * BLOCK + BLOCK)):
                    key = order_key(bits[row, column])
                    if key > keys[0]:
                        sift_down(keys, kept, k, key, np.int32(column))
        for place in range(k - 1, -1, -1):
            items[row, place] = kept[0]
            best[row, place] = scores[row, kept[0]] if kept[0] >= 0 else -np.inf
            sift_down(keys, kept, place, keys[place], kept[place])
