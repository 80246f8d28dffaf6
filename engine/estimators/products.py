"""Inner products of some rows with all items."""

import numpy as np

from engine.interactions import Float32

FEW_ROWS = 32
ITEMS_AT_ONCE = 2048  # of which a few rows' products stay in the second cache until they are turned


def inner_products(rows: Float32, items: Float32) -> Float32:
    """Multiply (n, d) rows with all (m, d) items: (n, m), C-contiguous.

    For a few rows OpenBLAS first copies all items into blocks, which takes ten times as long as the product;
    with the items on the left it reads them where they are.
    """
    if not 1 < len(rows) <= FEW_ROWS:
        return rows @ items.T
    products, turned = np.empty((len(rows), len(items)), np.float32), np.ascontiguousarray(rows.T)
    for start in range(0, len(items), ITEMS_AT_ONCE):
        products[:, start : start + ITEMS_AT_ONCE] = (items[start : start + ITEMS_AT_ONCE] @ turned).T
    return products
