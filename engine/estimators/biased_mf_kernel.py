"""The inner loops of biased matrix factorization: one pass of gradient steps, and rows of ridge problems."""

import numpy as np
from numba import njit

from engine.estimators.kernels import FAST


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def step_through(  # type: ignore[no-untyped-def]
    first, last, indptr, indices, ratings, users, user_biases, items, item_biases, mean, rate, held
):
    """Take one step a rating, in the order of rows first..last; return the squared errors before the steps.

    users, items: factors, of one width that may be padded with zeros: they stay zero. One loop both takes a
    step and multiplies with the next item, which saves reading the shopper's factors twice.
    """
    width = items.shape[1]
    p = np.empty(width, np.float32)  # beside the arrays, so that no write to an item can change it
    kept = np.float32(1) - rate * held
    total = 0.0
    for user in range(first, last):
        start, stop = indptr[user], indptr[user + 1]
        if start == stop:
            continue
        bias, item, product = user_biases[user], indices[start], np.float32(0)
        for k in range(width):
            p[k] = users[user, k]
            product += p[k] * items[item, k]
        for at in range(start, stop):
            error = ratings[at] - mean - bias - item_biases[item] - product
            total += error * error
            step = rate * error
            bias = kept * bias + step
            item_biases[item] = kept * item_biases[item] + step
            if at + 1 < stop:
                following, product = indices[at + 1], np.float32(0)
                for k in range(width):
                    pk, qk = p[k], items[item, k]
                    moved = kept * pk + step * qk
                    p[k] = moved
                    items[item, k] = kept * qk + step * pk
                    product += moved * items[following, k]
                item = following
            else:
                for k in range(width):
                    pk, qk = p[k], items[item, k]
                    users[user, k] = kept * pk + step * qk
                    items[item, k] = kept * qk + step * pk
        user_biases[user] = bias
    return total


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def settle(first, last, indptr, indices, ratings, users, items, mean, rate, held, epochs):  # type: ignore[no-untyped-def]
    """Learn rows first..last from nothing by the same steps, `epochs` times; the items stay as they are.

    users: factors, then mean + bias, then 1; items: factors, then 1, then bias.
    """
    d = items.shape[1] - 2
    p = np.empty(d, np.float32)
    kept = np.float32(1) - rate * held
    for user in range(first, last):
        start, stop = indptr[user], indptr[user + 1]
        if start == stop:
            continue
        p[:] = 0
        bias, item, product = np.float32(0), indices[start], np.float32(0)
        for _ in range(epochs):
            for at in range(start, stop):
                step = rate * (ratings[at] - mean - bias - items[item, d + 1] - product)
                bias = kept * bias + step
                following, product = indices[at + 1] if at + 1 < stop else indices[start], np.float32(0)
                for k in range(d):
                    moved = kept * p[k] + step * items[item, k]
                    p[k] = moved
                    product += moved * items[following, k]
                item = following
        users[user, :d] = p
        users[user, d] = mean + bias


@njit(cache=True, nogil=True, error_model="numpy")
def solve_rows(first, last, indptr, indices, ratings, own, other, own_bias, base, held):  # type: ignore[no-untyped-def]
    """Solve rows first..last of one side: minimise squared errors + held · n · (factors² + bias²).

    own_bias: the column of `own` that holds its bias, on top of base; the other of the last two is 1.
    A row without ratings gets no factors and no bias.
    """
    d = own.shape[1] - 2
    other_bias = d + 1 if own_bias == d else d
    system, right, x = np.empty((d + 1, d + 1)), np.empty(d + 1), np.empty(d + 1)
    for row in range(first, last):
        start, stop = indptr[row], indptr[row + 1]
        own[row, :d] = 0
        own[row, own_bias] = base
        if start == stop:
            continue
        system[:, :] = 0
        right[:] = 0
        for at in range(start, stop):
            there = other[indices[at]]
            for k in range(d):
                x[k] = there[k]
            x[d] = 1
            rest = ratings[at] - base - there[other_bias]
            for a in range(d + 1):
                right[a] += rest * x[a]
                for b in range(a + 1):
                    system[a, b] += x[a] * x[b]
        for a in range(d + 1):
            system[a, a] += held * (stop - start)
            for b in range(a):
                system[b, a] = system[a, b]
        found = np.linalg.solve(system, right)
        for k in range(d):
            own[row, k] = found[k]
        own[row, own_bias] = base + found[d]
