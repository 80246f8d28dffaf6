"""The inner loop of iALS: solve many small ridge problems at once, in a basis where they are easy.

For one row with history items x_i (rows of `other`) and confidences c_i, the factors w minimise
    sum_i c_i (1 - w·x_i)²  +  a sum_all (w·x)²  +  ridge |w|²,
that is A w = b with A = a·G + ridge·I + sum_i c_i x_i x_iᵀ, G the Gram matrix of `other`, b = sum_i c_i x_i.
In the eigenbasis of G the first two terms are diagonal (`spectrum` + ridge), so that a step of conjugate
gradients costs only the row's own history, and the diagonal of A is nearly A: few steps are enough.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from numba import njit

ONE, ZERO, ENOUGH = np.float32(1), np.float32(0), np.float32(1e-9)


@njit(inline="always")
def begin(start, stop, indices, weights, other, width, w, residual, diagonal):  # type: ignore[no-untyped-def]
    """Add sum c (1 - x·w) x to residual and sum c x² to diagonal; return sum c (1 - x·w)²."""
    loss = ZERO
    at = start
    while at + 3 < stop:
        i0, i1, i2, i3 = indices[at], indices[at + 1], indices[at + 2], indices[at + 3]
        c0, c1, c2, c3 = weights[at], weights[at + 1], weights[at + 2], weights[at + 3]
        d0, d1, d2, d3 = ZERO, ZERO, ZERO, ZERO
        for k in range(width):
            v = w[k]
            d0 += other[i0, k] * v
            d1 += other[i1, k] * v
            d2 += other[i2, k] * v
            d3 += other[i3, k] * v
        e0, e1, e2, e3 = ONE - d0, ONE - d1, ONE - d2, ONE - d3
        f0, f1, f2, f3 = c0 * e0, c1 * e1, c2 * e2, c3 * e3
        loss += f0 * e0 + f1 * e1 + f2 * e2 + f3 * e3
        for k in range(width):
            x0, x1, x2, x3 = other[i0, k], other[i1, k], other[i2, k], other[i3, k]
            residual[k] += f0 * x0 + f1 * x1 + f2 * x2 + f3 * x3
            diagonal[k] += c0 * x0 * x0 + c1 * x1 * x1 + c2 * x2 * x2 + c3 * x3 * x3
        at += 4
    while at < stop:
        i0, c0, d0 = indices[at], weights[at], ZERO
        for k in range(width):
            d0 += other[i0, k] * w[k]
        e0 = ONE - d0
        loss += c0 * e0 * e0
        for k in range(width):
            x0 = other[i0, k]
            residual[k] += c0 * e0 * x0
            diagonal[k] += c0 * x0 * x0
        at += 1
    return loss


@njit(inline="always")
def multiply(start, stop, indices, weights, other, width, p, out):  # type: ignore[no-untyped-def]
    """Add sum c (x·p) x to out."""
    at = start
    while at + 3 < stop:
        i0, i1, i2, i3 = indices[at], indices[at + 1], indices[at + 2], indices[at + 3]
        d0, d1, d2, d3 = ZERO, ZERO, ZERO, ZERO
        for k in range(width):
            v = p[k]
            d0 += other[i0, k] * v
            d1 += other[i1, k] * v
            d2 += other[i2, k] * v
            d3 += other[i3, k] * v
        d0 *= weights[at]
        d1 *= weights[at + 1]
        d2 *= weights[at + 2]
        d3 *= weights[at + 3]
        for k in range(width):
            out[k] += d0 * other[i0, k] + d1 * other[i1, k] + d2 * other[i2, k] + d3 * other[i3, k]
        at += 4
    while at < stop:
        i0, d0 = indices[at], ZERO
        for k in range(width):
            d0 += other[i0, k] * p[k]
        d0 *= weights[at]
        for k in range(width):
            out[k] += d0 * other[i0, k]
        at += 1


@cache
def solver(width: int) -> Callable[..., float]:
    """Give the kernel for one width, compiled with that width as a constant and kept on disk.

    solve(rows, indptr, indices, weights, other, spectrum, ridge, own, steps) improves own[rows] by `steps`
    steps of preconditioned conjugate gradients from where they are, and returns
    sum c (1 - w·x)² over the rows' interactions as it was before. A row without history becomes zero.
    """

    @njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
    def solve(rows, indptr, indices, weights, other, spectrum, ridge, own, steps):  # type: ignore[no-untyped-def]
        w, r, p = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
        q, dense, inverse = (
            np.empty(width, np.float32),
            np.empty(width, np.float32),
            np.empty(width, np.float32),
        )
        loss = 0.0
        for row in rows:
            start, stop = indptr[row], indptr[row + 1]
            if start == stop:
                own[row, :] = ZERO
                continue
            for k in range(width):
                w[k] = own[row, k]
                dense[k] = spectrum[k] + ridge[row]
                inverse[k] = dense[k]
                r[k] = -dense[k] * w[k]
            enough = ENOUGH * np.float32(stop - start)  # rz is nearly the loss still to gain
            loss += begin(start, stop, indices, weights, other, width, w, r, inverse)
            rz = ZERO
            for k in range(width):
                inverse[k] = ONE / inverse[k]
                p[k] = inverse[k] * r[k]
                rz += p[k] * r[k]
            for step in range(steps):
                if rz < enough:
                    break
                for k in range(width):
                    q[k] = dense[k] * p[k]
                multiply(start, stop, indices, weights, other, width, p, q)
                pq = ZERO
                for k in range(width):
                    pq += p[k] * q[k]
                length = rz / pq
                for k in range(width):
                    w[k] += length * p[k]
                if step == steps - 1:
                    break
                before, rz = rz, ZERO
                for k in range(width):
                    r[k] -= length * q[k]
                    rz += r[k] * r[k] * inverse[k]
                turn = rz / before
                for k in range(width):
                    p[k] = inverse[k] * r[k] + turn * p[k]
            for k in range(width):
                own[row, k] = w[k]
        return loss

    return solve
