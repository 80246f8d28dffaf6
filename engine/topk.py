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
MINUS_INFINITY = np.int32(-8388608)  # its bits
FLIP, SIGN, LAST, ZERO = np.int32(0x7FFFFFFF), np.int32(31), np.int32(-1), np.int32(0)


def top_k(scores: Float32, k: int) -> tuple[Int32, Float32]:
    """Pick the k best columns of each row, best first.

    scores: (n, m) float32, C-contiguous. Returns items (n, k) int32, -1 where fewer than k
    scores are finite, and their scores (n, k) float32, -inf where there is no item.
    """
    keys, items = empty_heaps(len(scores), k)
    offer(scores.view(np.int32), None, np.arange(len(scores), dtype=np.int32), keys, items)
    finish(keys, items)
    return items, keys.view(np.float32)


def empty_heaps(n: int, k: int) -> tuple[Int32, Int32]:
    """Make a heap a row, (n, k): the keys of the best scores so far, the lowest first, and whose they are."""
    heaps = np.empty((2, n, k), np.int32)
    heaps[0], heaps[1] = NOTHING, -1
    return heaps[0], heaps[1]


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


@njit(cache=True, nogil=True, inline="always")
def bits_of(key):  # type: ignore[no-untyped-def]
    """Turn a key back into its float32's bits."""
    return np.int32(key ^ np.int32(np.int32(key >> SIGN) & FLIP))


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
def offer(bits, names, rows, keys, kept):  # type: ignore[no-untyped-def]
    """Offer scores to heaps: row i of the bits of (n, m) float32 scores to the heap of row rows[i].

    names: (m,) int32, whose the columns are, in any order; None: each its own, and nothing came before.
    """
    n, m = bits.shape
    k = keys.shape[1]
    whole = m // BLOCK
    for at in range(n):
        heap, which = keys[rows[at]], kept[rows[at]]
        for block in range((m + BLOCK - 1) // BLOCK):
            highest = NOTHING
            part = bits[at][block * BLOCK : block * BLOCK + BLOCK]
            if block < whole:  # a constant length and a slice of its own: the compiler widens this loop
                for column in range(BLOCK):
                    highest = max(highest, order_key(part[column]))
            else:
                for column in range(len(part)):
                    highest = max(highest, order_key(part[column]))
            if highest < heap[0] or highest == NOTHING or (names is None and highest == heap[0]):
                continue
            for column in range(len(part)):
                key, at_column = order_key(part[column]), block * BLOCK + column
                name = np.int32(at_column) if names is None else names[at_column]
                if key > heap[0] or (key == heap[0] and key != NOTHING and name < which[0]):
                    sift_down(heap, which, k, key, name)


@njit(cache=True, nogil=True, error_model="numpy")
def finish(keys, kept):  # type: ignore[no-untyped-def]
    """Turn heaps into lists, best first, where they are; the keys become the bits of their scores."""
    n, k = keys.shape
    for row in range(n):
        heap, which = keys[row], kept[row]
        for place in range(k - 1, -1, -1):
            key, item = heap[0], which[0]
            sift_down(heap, which, place, heap[place], which[place])
            heap[place], which[place] = MINUS_INFINITY if item < 0 else bits_of(key), item
