"""Compile every kernel once and leave it in Numba's cache, so that no person waits for it later."""

import numpy as np
import scipy.sparse as sp

from engine.estimators import ALGORITHMS
from engine.estimators.als import ALS, ALSConfig
from engine.estimators.base import Estimator
from engine.serving.id_index import compile_index

COMMON_FACTORS = (16, 32, 64, 128)


def warm_up() -> None:
    """Fit and ask every algorithm on a few interactions; call it when the environment is made.

    The kernels go to NUMBA_CACHE_DIR. A later call only loads them.
    """
    rng = np.random.default_rng(0)
    matrix = sp.csr_matrix((rng.random((12, 9)) < 0.5).astype(np.float32))
    models: list[Estimator] = [kind() for kind in ALGORITHMS.values()]
    models += [ALS(ALSConfig(factors=factors, iterations=1)) for factors in COMMON_FACTORS]
    for model in models:
        model.fit(matrix)
        model.recommend(np.arange(3), 2, seen=matrix[:3])
        model.recommend(model.fold_in(matrix[:1]), 2)
        model.similar_items(np.arange(3), 2)
    compile_index()


if __name__ == "__main__":
    warm_up()
