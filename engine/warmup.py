"""Compile every kernel once and leave it in Numba's cache, so that no person waits for it later."""

import numpy as np
import scipy.sparse as sp

from engine.auc import area_under_curve
from engine.compression import Variant, compress
from engine.estimators import ALGORITHMS
from engine.estimators.als import ALS, ALSConfig
from engine.estimators.base import Context, Estimator
from engine.estimators.item_graph import ItemGraph, ItemGraphConfig
from engine.items import ItemFacts
from engine.serving.id_index import compile_index

COMMON_FACTORS = (16, 32, 64, 128)


def warm_up() -> None:
    """Fit and ask every algorithm on a few interactions; call it when the environment is made.

    The kernels go to NUMBA_CACHE_DIR. A later call only loads them.
    """
    rng = np.random.default_rng(0)
    matrix = sp.csr_matrix((rng.random((12, 9)) < 0.5).astype(np.float32))
    titles = [f"thing {at}" for at in range(matrix.shape[1])]
    facts = ItemFacts.of(titles, ["a", "b", "c"] * 3, np.ones(matrix.shape[1]))
    context = Context(np.arange(matrix.nnz, dtype=np.int64), facts)
    models: list[Estimator] = [kind() for kind in ALGORITHMS.values()]
    models.append(ItemGraph(ItemGraphConfig(sharpness=0.5)))
    models += [ALS(ALSConfig(factors=factors, iterations=1)) for factors in COMMON_FACTORS]
    for model in models:
        model.fit(matrix, context=context)
        model.recommend(np.arange(3), 2, seen=matrix[:3])
        model.recommend(model.fold_in(matrix[:1]), 2)
        model.similar_items(np.arange(3), 2)
    area_under_curve(models[-1], np.arange(3), matrix[:3], matrix[3:6])
    for storage in ("float16", "int8"):
        compress(models[-1], Variant(storage)).recommend(np.arange(3), 2)
    compile_index()


if __name__ == "__main__":
    warm_up()
