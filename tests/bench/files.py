"""Matrices and arrays as files that both sides read."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp


def write_matrix(path: Path, matrix: sp.csr_matrix) -> str:
    parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}
    np.savez(path, shape=np.array(matrix.shape), **parts, allow_pickle=False)
    return str(path)


def read_matrix(path: str) -> sp.csr_matrix:
    with np.load(path, allow_pickle=False) as stored:
        parts = stored["data"].astype(np.float32), stored["indices"], stored["indptr"]
        return sp.csr_matrix(parts, shape=tuple(stored["shape"]))


def keep(out: str | None, **arrays: Any) -> dict[str, Any]:
    """Write arrays where they were asked for; give the start of an answer."""
    if out:
        np.savez(
            out, **{name: np.asarray(array, np.float32) for name, array in arrays.items()}, allow_pickle=False
        )
    return {"out": out}


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result
