"""Who is most like whom, in blocks: no n × n matrix of likenesses exists at any time."""

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from engine.estimators.base import SCORES_AT_ONCE, Recommendations, in_blocks
from engine.estimators.nearest import Formula, nearest, norms
from engine.interactions import Float32, Int32
from engine.topk import top_k

ROWS_AT_ONCE = 256


def rank_alike(
    score: Callable[[int, int], Float32], asked: Int32, width: int, k: int, threads: int
) -> Recommendations:
    """Find the k most alike for each asked row, itself left out.

    score(start, stop): likenesses of asked[start:stop] to all n, (stop - start, n), free to change.
    width: how many numbers one row of that needs at a time, at least n.
    """
    items = np.empty((len(asked), k), np.int32)
    best = np.empty((len(asked), k), np.float32)

    def work(start: int, stop: int) -> None:
        scores = score(start, stop)
        scores[np.arange(stop - start), asked[start:stop]] = -np.inf
        items[start:stop], best[start:stop] = top_k(scores, k)

    in_blocks(work, len(asked), max(1, min(ROWS_AT_ONCE, SCORES_AT_ONCE // width)), threads)
    return Recommendations(items, best)


def alike_rows(matrix: sp.csr_matrix, asked: Int32, k: int, threads: int) -> Recommendations:
    """Find the k rows with the largest cosine to each asked row; rows of zeros are like nothing.

    matrix: no value is below zero.
    """
    lengths = norms(matrix)
    cosine = Formula(lengths[asked], lengths)
    found = nearest(
        matrix[asked], sp.csr_matrix(matrix.T), cosine, k + 1, threads=threads, leave_out_self=False
    )
    return others_of_rows(found, asked, k)


def first_of_rows(near: sp.csr_matrix, asked: Int32, k: int) -> Recommendations:
    """Give the first k entries above zero of rows that are stored best first."""
    found = np.full((len(asked), k), -1, np.int32)
    scores = np.full((len(asked), k), -np.inf, np.float32)
    for at, row in enumerate(asked):
        start, stop = near.indptr[row], min(near.indptr[row + 1], near.indptr[row] + k)
        n = int(np.count_nonzero(near.data[start:stop] > 0))
        found[at, :n] = near.indices[start : start + n]
        scores[at, :n] = near.data[start : start + n]
    return Recommendations(found, scores)


def others_of_rows(near: sp.csr_matrix, own: Int32, k: int) -> Recommendations:
    """Give the first k entries of each row, best first, without own[i] in row i."""
    found = first_of_rows(near, np.arange(len(own), dtype=np.int32), k + 1)
    left_out = found.items == own[:, None]
    left_out[:, -1] |= ~left_out.any(axis=1)  # where it is not among them, the last one goes
    return Recommendations(found.items[~left_out].reshape(-1, k), found.scores[~left_out].reshape(-1, k))
