"""What the benchmarks run on: real splits kept beside the project, and generated shops."""

import csv
import gzip
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from files import write_matrix

from engine.metrics import find_hits, per_user_metrics
from engine.synthetic import make_shop
from engine.topk import mask, top_k

ROOT = Path(__file__).resolve().parents[2]
TEST_DATA = Path(os.environ.get("AISLE_TEST_DATA", ROOT.parent / "shared/data"))


@dataclass(frozen=True)
class Parts:
    """A split: the whole training part, its own validation split, and the test part."""

    train: sp.csr_matrix
    inner: sp.csr_matrix
    validation: sp.csr_matrix
    test: sp.csr_matrix


def read_split(name: str) -> Parts:
    """Read a given split of pairs; a tenth of each user's training pairs validates."""
    train, test = (_pairs(TEST_DATA / name / f"{part}.csv.gz") for part in ("train", "test"))
    shape = tuple(np.maximum(train.max(axis=0), test.max(axis=0)) + 1)
    whole, held_out = (_matrix(pairs, shape) for pairs in (train, test))
    kept = np.random.default_rng(0).random(len(train)) >= 0.1
    return Parts(whole, _matrix(train[kept], shape), _matrix(train[~kept], shape), held_out)


def generated(folder: Path, n_interactions: int) -> str:
    """Write a generated shop's matrix; its users and items grow with the interactions.

    20 interactions a shopper, as shops have few (Gowalla 27, Amazon Beauty 9). With 60 there are so few
    shoppers that 4 M interactions fit the third cache and 17 M do not: growth was 1.1 to 1.5 there.
    """
    n_users, n_items = n_interactions // 20, 20_000 + n_interactions // 500
    shop = make_shop(n_users=n_users, n_items=n_items, n_interactions=n_interactions)
    return write_matrix(folder / f"generated-{n_interactions}.npz", shop.interactions.matrix())


def ratings(folder: Path) -> dict[str, tuple[str, str]]:
    """Write train and test ratings of the size of ML-100K and of a million."""
    found = {}
    movies = TEST_DATA / "ml-latest-small/ratings.csv"
    if movies.exists():
        with movies.open(newline="") as file:
            rows = [(row["userId"], row["movieId"], float(row["rating"])) for row in csv.DictReader(file)]
        users, items = (np.unique([row[at] for row in rows], return_inverse=True)[1] for at in (0, 1))
        found["100 k"] = _halves(folder, "movies", users, items, np.array([row[2] for row in rows]))
    rng = np.random.default_rng(0)
    n_users, n_items = 6_000, 4_000
    drawn = np.unique(rng.integers(0, n_users * n_items, 1_050_000))[:1_000_000]
    users, items = drawn // n_items, drawn % n_items
    taste = (rng.normal(0, 0.35, (n_users, 8))[users] * rng.normal(0, 1, (n_items, 8))[items]).sum(axis=1)
    values = 3.5 + rng.normal(0, 0.4, n_users)[users] + rng.normal(0, 0.5, n_items)[items] + taste
    values = np.clip(np.round(2 * (values + rng.normal(0, 0.6, len(drawn)))) / 2, 0.5, 5)
    found["1 M"] = _halves(folder, "million", users, items, values)
    return found


def ndcg_at_20(factors: str, seen: sp.csr_matrix, test: sp.csr_matrix) -> float:
    """Rank the whole catalogue by given factors, seen items left out; the mean NDCG@20 of the test users."""
    with np.load(factors, allow_pickle=False) as stored:
        users_of, items_of = stored["user_factors"], stored["item_factors"]
    users = np.flatnonzero(np.diff(test.indptr))
    found = []
    for start in range(0, len(users), 1024):
        block = users[start : start + 1024]
        scores = users_of[block] @ items_of.T
        left_out = seen[block]
        mask(scores, left_out.indptr, left_out.indices, 0)
        hits = find_hits(top_k(scores, 20)[0], test[block])
        found.append(per_user_metrics(hits, np.diff(test[block].indptr), (20,))["ndcg@20"])
    return float(np.concatenate(found).mean())


def _pairs(path: Path) -> np.ndarray:
    with gzip.open(path, "rt") as file:
        return np.loadtxt(file, delimiter=",", skiprows=1, dtype=np.int64)


def _matrix(pairs: np.ndarray, shape: tuple[int, ...]) -> sp.csr_matrix:
    matrix = sp.csr_matrix((np.ones(len(pairs), np.float32), (pairs[:, 0], pairs[:, 1])), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _halves(
    folder: Path, name: str, users: np.ndarray, items: np.ndarray, values: np.ndarray
) -> tuple[str, str]:
    shape = (int(users.max()) + 1, int(items.max()) + 1)
    tested = np.random.default_rng(1).random(len(users)) < 0.2
    train, test = (
        write_matrix(
            folder / f"{name}-{part}.npz",
            sp.csr_matrix((values[kept].astype(np.float32), (users[kept], items[kept])), shape=shape),
        )
        for part, kept in (("train", ~tested), ("test", tested))
    )
    return train, test
