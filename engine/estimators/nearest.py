"""The kernels of every neighbour model: find each row's nearest candidates, and add what neighbours say.

Only the best k of each row are ever kept; the products of one row with all candidates live in one buffer
a thread, so that no n × n matrix exists at any time.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from numba import njit

from engine.estimators.base import Progress, ProgressCallback, in_blocks
from engine.interactions import Float32, Int32

BM25_SATURATION, BM25_LENGTH = 1.2, 0.75
HIGHEST, HALF = np.uint32(0x7FFFFFFF), np.uint64(32)
LOW, NOBODY = np.uint64(0xFFFFFFFF), np.uint64(0xFFFFFFFFFFFFFFFF)
CHUNKS = 64  # of rows: often enough to report and to cancel


class Formula(NamedTuple):
    """How the product x·y of two rows becomes a likeness.

    x·y / (row_scale[x] candidate_scale[y] + shrinkage), or, for a union,
    x·y / (row_scale[x] + candidate_scale[y] - x·y + shrinkage).
    """

    row_scale: Float32
    candidate_scale: Float32
    shrinkage: float = 0.0
    is_union: bool = False


def nearest(
    rows: sp.csr_matrix,
    terms: sp.csr_matrix,
    formula: Formula,
    k: int,
    *,
    threads: int,
    progress: ProgressCallback = lambda _: None,
    leave_out_self: bool = True,
) -> sp.csr_matrix:
    """Find the k candidates most like each row: (n_rows, n_candidates) CSR, best first, likeness > 0.

    rows: (n_rows, n_terms); terms: (n_terms, n_candidates), the candidates' values by term. Ties go to the
    lower position. leave_out_self: rows and candidates are the same things, and none is its own neighbour.
    """
    kept = _Kept.of(rows.shape[0], min(k, terms.shape[1]))
    scales = formula.row_scale, formula.candidate_scale, np.float32(formula.shrinkage), formula.is_union

    def work(start: int, stop: int, keys: npt.NDArray[np.uint64]) -> None:
        find_neighbours(
            start, stop, rows.indptr, rows.indices, rows.data, terms.indptr, terms.indices, terms.data,
            *scales, leave_out_self, keys,
        )  # fmt: skip

    return kept.fill(work, terms.shape[1], threads, progress)


def correlated(
    rows: sp.csr_matrix,
    terms: sp.csr_matrix,
    shrinkage: float,
    k: int,
    *,
    threads: int,
    progress: ProgressCallback = lambda _: None,
    leave_out_self: bool = True,
) -> sp.csr_matrix:
    """As `nearest`, by Pearson's correlation of centred values over the terms that both have.

    sum x y / (sqrt(sum x² sum y²) + shrinkage), each sum over common terms only; rows, terms: centred, with
    a stored zero where a value is the mean.
    """
    kept = _Kept.of(rows.shape[0], min(k, terms.shape[1]))

    def work(start: int, stop: int, keys: npt.NDArray[np.uint64]) -> None:
        find_correlated(
            start, stop, rows.indptr, rows.indices, rows.data, terms.indptr, terms.indices, terms.data,
            terms.shape[1], np.float32(shrinkage), leave_out_self, keys,
        )  # fmt: skip

    return kept.fill(work, terms.shape[1], threads, progress)


class _Kept(NamedTuple):
    """Room for the k best of n rows: positions (-1 = none) and likenesses."""

    items: Int32
    values: Float32

    @classmethod
    def of(cls, n: int, k: int) -> Self:
        return cls(np.full((n, k), -1, np.int32), np.zeros((n, k), np.float32))

    def fill(
        self,
        work: Callable[[int, int, npt.NDArray[np.uint64]], None],
        n_candidates: int,
        threads: int,
        progress: ProgressCallback,
    ) -> sp.csr_matrix:
        """Run work over blocks of rows, sort the keys that it finds (NumPy's wide sort) and pack them."""
        n = len(self.items)
        progress(Progress("fit", 0, n, "Neighbours"))

        def report(done: int) -> None:
            progress(Progress("fit", done, n, "Neighbours"))

        def find(start: int, stop: int) -> None:
            keys = np.full((stop - start, self.items.shape[1]), NOBODY, np.uint64)
            work(start, stop, keys)
            keys.sort(axis=1)
            real = keys != NOBODY
            self.items[start:stop][real] = (keys[real] & LOW).astype(np.int32)
            self.values[start:stop][real] = (HIGHEST - (keys[real] >> HALF).astype(np.uint32)).view(
                np.float32
            )

        in_blocks(find, n, max(1, n // CHUNKS), threads, report)
        real = self.items >= 0
        indptr = np.concatenate([[0], np.cumsum(real.sum(axis=1))]).astype(np.int32)
        return sp.csr_matrix((self.values[real], self.items[real], indptr), shape=(n, n_candidates))


def norms(matrix: sp.csr_matrix) -> Float32:
    """Give the length (Euclidean) of each row, (n_rows,)."""
    return np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1), np.float32)).ravel()


def centred(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Subtract from each stored value the mean of its row's stored values; zeros stay stored."""
    counts = np.diff(matrix.indptr)
    row_of = np.repeat(np.arange(matrix.shape[0]), counts)
    means = np.bincount(row_of, matrix.data, minlength=matrix.shape[0]) / np.maximum(counts, 1)
    values = (matrix.data - means[row_of]).astype(np.float32)
    return sp.csr_matrix((values, matrix.indices, matrix.indptr), shape=matrix.shape)


def weigh(history: sp.csr_matrix, weighting: str) -> sp.csr_matrix:
    """Weigh (n_terms, n_documents) values so that terms of few documents count more.

    weighting: "tfidf", "bm25", or anything else, which leaves the values as they are.
    """
    if weighting not in ("tfidf", "bm25"):
        return history
    lengths = np.diff(history.indptr)
    rarity = np.log1p(history.shape[1] / np.maximum(lengths, 1)).astype(np.float32)
    rarity_of = np.repeat(rarity, lengths)
    if weighting == "tfidf":
        weights = np.sqrt(history.data) * rarity_of
    else:
        chosen = np.bincount(history.indices, history.data, minlength=history.shape[1])
        length = 1 - BM25_LENGTH + BM25_LENGTH * chosen / max(chosen.mean(), 1e-12)
        saturated = (
            history.data * (BM25_SATURATION + 1) / (BM25_SATURATION * length[history.indices] + history.data)
        )
        weights = saturated * rarity_of
    return sp.csr_matrix((weights.astype(np.float32), history.indices, history.indptr), shape=history.shape)


def ones_like(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Replace every stored value by 1; positions are shared, not copied."""
    return sp.csr_matrix((np.ones_like(matrix.data), matrix.indices, matrix.indptr), shape=matrix.shape)


def restored(
    values: npt.NDArray[Any],
    items: npt.NDArray[Any],
    indptr: npt.NDArray[Any],
    shape: tuple[int, int],
    name: str,
) -> sp.csr_matrix:
    """Build a CSR from an artifact's arrays; raise ValueError when kernels could not trust its positions."""
    typed = values.dtype == np.float32 and items.dtype == indptr.dtype == np.int32
    if not typed or indptr.shape != (shape[0] + 1,) or not values.shape == items.shape == (indptr[-1],):
        raise ValueError(f"{name} do not have one row for each of {shape[0]:,} entries")
    if (
        indptr[0] != 0
        or (np.diff(indptr) < 0).any()
        or (len(items) and not 0 <= items.min() <= items.max() < shape[1])
    ):
        raise ValueError(f"{name} point outside the {shape[1]:,} columns")
    return sp.csr_matrix((values, items, indptr), shape=shape)


@njit(cache=True, nogil=True, error_model="numpy")
def find_neighbours(  # type: ignore[no-untyped-def]
    first, last, indptr, indices, weights, term_indptr, term_items, term_weights,
    row_scale, scale, shrinkage, is_union, leave_out_self, keys,
):  # fmt: skip
    """Write the nearest candidates of rows first..last, best first; see `Formula`."""
    n = len(scale)
    sums = np.zeros(n, np.float32)
    met_at = np.full(n, -1, np.int32)
    met = np.empty(n, np.int32)
    likes = np.empty(n, np.float32)
    bits = likes.view(np.uint32)
    for row in range(first, last):
        count = 0
        for a in range(indptr[row], indptr[row + 1]):
            term, weight = indices[a], weights[a]
            for b in range(term_indptr[term], term_indptr[term + 1]):
                other = term_items[b]
                if met_at[other] != row:
                    met_at[other] = row
                    met[count] = other
                    sums[other] = 0
                    count += 1
                sums[other] += weight * term_weights[b]
        found = 0
        own = row_scale[row]
        for m in range(count):
            other = met[m]
            total = sums[other]
            divisor = own + scale[other] - total if is_union else own * scale[other]
            likeness = total / (divisor + shrinkage)
            if likeness > 0 and not (leave_out_self and other == row):
                likes[found] = likeness
                met[found] = other  # found <= m: what is overwritten was read
                found += 1
        keep_best(bits, met, found, keys[row - first])


@njit(cache=True, nogil=True, error_model="numpy")
def find_correlated(  # type: ignore[no-untyped-def]
    first, last, indptr, indices, weights, term_indptr, term_items, term_weights,
    n, shrinkage, leave_out_self, keys,
):  # fmt: skip
    """Write the most correlated candidates of rows first..last, best first; see `correlated`."""
    products, own, others = np.zeros(n), np.zeros(n), np.zeros(n)
    met_at = np.full(n, -1, np.int32)
    met = np.empty(n, np.int32)
    likes = np.empty(n, np.float32)
    bits = likes.view(np.uint32)
    for row in range(first, last):
        count = 0
        for a in range(indptr[row], indptr[row + 1]):
            term, x = indices[a], np.float64(weights[a])
            for b in range(term_indptr[term], term_indptr[term + 1]):
                other, y = term_items[b], np.float64(term_weights[b])
                if met_at[other] != row:
                    met_at[other] = row
                    met[count] = other
                    products[other] = own[other] = others[other] = 0
                    count += 1
                products[other] += x * y
                own[other] += x * x
                others[other] += y * y
        found = 0
        for m in range(count):
            other = met[m]
            divisor = np.sqrt(own[other] * others[other]) + shrinkage
            likeness = np.float32(products[other] / divisor) if divisor > 0 else np.float32(0)
            if likeness > 0 and not (leave_out_self and other == row):
                likes[found] = likeness
                met[found] = other  # found <= m: what is overwritten was read
                found += 1
        keep_best(bits, met, found, keys[row - first])


@njit(cache=True, nogil=True, error_model="numpy")
def keep_best(bits, found, count, keys):  # type: ignore[no-untyped-def]
    """Write the best of a row as keys that sort best first, ties by position, in no order yet.

    bits: those of float32 likenesses above zero, which sort as the numbers do.
    """
    packed = np.empty(count, np.uint64)
    for at in range(count):
        packed[at] = (np.uint64(HIGHEST - bits[at]) << HALF) | np.uint64(found[at])
    k = len(keys)
    if count > k:
        packed = np.partition(packed, k - 1)
    for at in range(min(k, count)):
        keys[at] = packed[at]


@njit(cache=True, nogil=True, error_model="numpy")
def add_neighbours(first, indptr, items, weights, near_indptr, near_items, near_values, scores):  # type: ignore[no-untyped-def]
    """Add to each row of scores, for each entry of rows first.., its weight times the row it points to."""
    for row in range(scores.shape[0]):
        for a in range(indptr[first + row], indptr[first + row + 1]):
            item, weight = items[a], weights[a]
            for b in range(near_indptr[item], near_indptr[item + 1]):
                scores[row, near_items[b]] += weight * near_values[b]
