"""Sharpen neighbours: take off what an item's neighbours would say of another item in any case.

Items that everybody's neighbours lead to, over two steps, tell little of a taste. The two-step part is
subtracted as in a sharpening process on the graph of items: Choi, Hong, Park & Cho 2023, "Blurring-sharpening
process models for collaborative filtering", SIGIR.
"""

import numpy as np
import scipy.sparse as sp
from numba import njit

from engine.estimators.base import Progress, ProgressCallback, in_blocks

HOPS = 100  # nearest neighbours over which the second step goes; 200 find no more
POWERS = 32
CHUNKS = 64


def sharpened(
    near: sp.csr_matrix, share: float, *, threads: int, progress: ProgressCallback
) -> sp.csr_matrix:
    """Find max(0, S - share / r · H S) where S has an entry: CSR (n, n), rows best first.

    near: S, weights above 0, rows best first; H: the `HOPS` best of each of its rows; r: H's spectral radius,
    so that a share of 1 takes off the whole of what the strongest pattern says twice, however dense S is.
    progress: told the second half of a fit.
    """
    n = near.shape[0]
    radius = spectral_radius(_first(near, HOPS))

    def report(done: int) -> None:
        progress(Progress("fit", n + done, 2 * n, "Sharpening"))

    if radius == 0:
        report(n)
        return near
    factor = np.float32(share / radius)
    items, values = np.empty_like(near.indices), np.empty_like(near.data)

    def work(start: int, stop: int) -> None:
        subtract_second(start, stop, near.indptr, near.indices, near.data, HOPS, factor, items, values)

    in_blocks(work, n, max(1, n // CHUNKS), threads, report)
    found = sp.csr_matrix((values, items, near.indptr.copy()), shape=near.shape)
    found.eliminate_zeros()
    return found


def spectral_radius(matrix: sp.csr_matrix) -> float:
    """Find the largest eigenvalue of a matrix without negative entries, by Gelfand's formula.

    ARPACK's eigenvalues need three rows at least and fail where several are equally large.
    """
    vector = np.full(matrix.shape[0], matrix.shape[0] ** -0.5, np.float32)
    growth = np.empty(POWERS)
    for power in range(POWERS):
        vector = matrix.T @ vector
        growth[power] = np.linalg.norm(vector)
        if growth[power] == 0:
            return 0.0
        vector /= np.float32(growth[power])
    return float(np.exp(np.log(growth[POWERS // 2 :]).mean()))


def _first(near: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """Copy the first k entries of each row."""
    lengths = np.diff(near.indptr)
    place = np.arange(near.nnz, dtype=np.int32) - np.repeat(near.indptr[:-1], lengths)
    indptr = np.concatenate([[0], np.cumsum(np.minimum(lengths, k))])
    return sp.csr_matrix((near.data[place < k], near.indices[place < k], indptr), shape=near.shape)


@njit(cache=True, nogil=True, error_model="numpy")
def subtract_second(  # type: ignore[no-untyped-def]
    first, last, indptr, indices, data, hops, factor, items, values,
):  # fmt: skip
    """Write rows first..last of what `sharpened` returns, zeros last."""
    second = np.zeros(len(indptr) - 1, np.float32)
    for row in range(first, last):
        start, stop = indptr[row], indptr[row + 1]
        for a in range(start, min(stop, start + hops)):
            via, weight = indices[a], data[a] * factor
            for b in range(indptr[via], indptr[via + 1]):
                second[indices[b]] += weight * data[b]
        left = np.maximum(data[start:stop] - second[indices[start:stop]], np.float32(0))
        order = np.argsort(-left, kind="mergesort")
        items[start:stop] = indices[start:stop][order]
        values[start:stop] = left[order]
        second[:] = 0
