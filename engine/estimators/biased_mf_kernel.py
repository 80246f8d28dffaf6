"""The inner loops of biased matrix factorization: one pass of gradient steps, and rows of ridge problems."""

import numpy as np
from numba import njit

FAST = {"reassoc", "contract", "nsz", "arcp"}  # lets sums use wide registers; their order stays fixed


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def step_through(indptr, indices, ratings, users, items, mean, rate, held, learn_items):  # type: ignore[no-untyped-def]
    """Take one step a rating, in the order of the rows; return the sum of squared errors before the steps.

    users: factors, then mean + bias, then 1; items: factors, then 1, then bias.
    """
    d = users.shape[1] - 2
    total = 0.0
    for user in range(len(indptr) - 1):
        p = users[user]
        for at in range(indptr[user], indptr[user + 1]):
            q = items[indices[at]]
            expected = p[d] + q[d + 1]
            for k in range(d):
                expected += p[k] * q[k]
            error = ratings[at] - expected
            total += error * error
            p[d] += rate * (error - held * (p[d] - mean))
            if learn_items:
                q[d + 1] += rate * (error - held * q[d + 1])
                for k in range(d):
                    pk, qk = p[k], q[k]
                    p[k] = pk + rate * (error * qk - held * pk)
                    q[k] = qk + rate * (error * pk - held * qk)
            else:
                for k in range(d):
                    p[k] += rate * (error * q[k] - held * p[k])
    return total


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
