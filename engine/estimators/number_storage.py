"""Rows of factors in fewer bytes, and scores straight from them.

float16: one scale for all rows, a power of two, so that only 11 bits of each number stay and none is
too small for the type. int8: each row divided by its greatest magnitude over 127 (symmetric, absolute
maximum, as in Jacob et al. 2018, "Quantization and training of neural networks for efficient
integer-arithmetic-only inference", without a zero point). A shopper's row is turned into int16 for
scoring, which loses next to nothing; products of int16 and int8 add up exactly in int32.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from engine.estimators.products import inner_products
from engine.interactions import Float32

STORAGES = {"float32": np.float32, "float16": np.float16, "int8": np.int8}
BIAS = 112  # a float16's bits, moved into a float32's places, are its number times 2 to the -112
IN_CACHE = 256  # items that stay in the first cache while a block of users passes


def encode(rows: Float32, storage: str) -> tuple[npt.NDArray[Any], Float32]:
    """Store (n, d) rows as codes (n, d) of the type and scales, (n,) for int8 and otherwise (1,)."""
    if storage == "int8":
        scales = (np.abs(rows).max(axis=1, initial=0) / 127).astype(np.float32)
        divisors = np.where(scales > 0, scales, 1).astype(np.float32)
        return np.rint(rows / divisors[:, None]).astype(np.int8), scales
    if storage == "float16":
        greatest = float(np.abs(rows).max(initial=0))
        scale = np.float32(2.0 ** (np.ceil(np.log2(greatest)) - 15) if greatest else 1)
        return (rows / scale).astype(np.float16), np.array([scale], np.float32)
    return np.ascontiguousarray(rows, np.float32), np.ones(1, np.float32)


def decode(codes: npt.NDArray[Any], scales: Float32) -> Float32:
    """Turn rows of codes back into float32; scales as `encode` gave them for these rows."""
    return codes.astype(np.float32) * scales[:, None]


def score_all(rows: Float32, codes: npt.NDArray[Any], scales: Float32) -> Float32:
    """Score (n, d) float32 users against all (m, d) stored items: (n, m), never all items in float32."""
    if codes.dtype == np.float32:
        return inner_products(rows, codes)
    scores = np.empty((len(rows), len(codes)), np.float32)
    if codes.dtype == np.int8:
        users, user_scales = to_int16(rows)
        score_int8(users, user_scales, codes, scales, scores)
        return scores
    exponents = np.frexp(np.abs(rows).max(axis=1, initial=0))[1]
    lifted = np.ldexp(rows, (BIAS - exponents)[:, None])
    score_float16(lifted, np.ldexp(scales[0], exponents), codes.view(np.int16), scores)
    return scores


def score_pairs(rows: Float32, codes: npt.NDArray[Any], scales: Float32) -> Float32:
    """Score the i-th user with the i-th stored item, (n,), as `score_all` does."""
    if codes.dtype == np.int8:
        users, user_scales = to_int16(rows)
        totals = np.einsum("nk,nk->n", users, codes, dtype=np.int64)
        return np.asarray(totals.astype(np.float32) * (user_scales * scales), np.float32)
    return np.asarray(np.einsum("nk,nk->n", rows, decode(codes, scales)), np.float32)


def to_int16(rows: Float32) -> tuple[npt.NDArray[np.int16], Float32]:
    """Store users for `score_int8`: as fine as int32 sums over d products with int8 allow."""
    reach = min(32767, (2**31 - 1) // (128 * max(rows.shape[1], 1)))
    scales = (np.abs(rows).max(axis=1, initial=0) / reach).astype(np.float32)
    divisors = np.where(scales > 0, scales, 1).astype(np.float32)
    codes = np.clip(np.rint(rows / divisors[:, None]), -reach, reach)
    return codes.astype(np.int16), scales


@njit(cache=True, nogil=True, error_model="numpy")
def score_int8(users, user_scales, items, item_scales, scores):  # type: ignore[no-untyped-def]
    """Write each user's inner product with each item; the integer sums are exact in any order."""
    n, m, width = len(users), len(items), items.shape[1]
    for start in range(0, m, IN_CACHE):
        stop = min(m, start + IN_CACHE)
        for row in range(n):
            user = users[row]
            for at in range(start, stop):
                item = items[at]
                total = np.int32(0)
                for place in range(width):
                    total = np.int32(total + np.int32(item[place]) * np.int32(user[place]))
                scores[row, at] = np.float32(total) * (user_scales[row] * item_scales[at])


# Sums of floats may be taken in any order, or they cannot use wide instructions; the order is the same for
# one user and for many.
@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def score_float16(users, user_scales, item_bits, scores):  # type: ignore[no-untyped-def]
    """Write each user's inner product with each item; users are multiplied by 2 to the BIAS before.

    item_bits: (m, d) float16 seen as int16, none infinite; Numba has no float16 on a processor.
    """
    n, m, width = len(users), len(item_bits), item_bits.shape[1]
    part = np.empty((IN_CACHE, width), np.float32)
    bits = part.view(np.int32)
    for start in range(0, m, IN_CACHE):
        count = min(m - start, IN_CACHE)
        for at in range(count):
            item = item_bits[start + at]
            for place in range(width):
                half = np.int32(item[place])
                sign = np.int32((half & np.int32(0x8000)) << np.int32(16))
                bits[at, place] = np.int32(((half & np.int32(0x7FFF)) << np.int32(13)) | sign)
        for row in range(n):
            user = users[row]
            for at in range(count):
                item_row = part[at]
                total = np.float32(0)
                for place in range(width):
                    total += user[place] * item_row[place]
                scores[row, start + at] = total * user_scales[row]
