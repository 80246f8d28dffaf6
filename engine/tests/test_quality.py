"""The claims about quality that the portal makes, measured with default settings."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from engine.estimators import ALGORITHMS
from engine.evaluation import Comparison, compare, evaluate
from engine.interactions import IdTable, Interactions
from engine.splitting import SplitConfig, default_split, split
from engine.synthetic import make_shop

REPOSITORY = Path(__file__).parents[2]
TEST_DATA = Path(os.environ.get("AISLE_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
MOVIES = TEST_DATA / "ml-latest-small" / "ratings.csv"
CLAIMED = ("popularity", "item_knn", "als")


def against_popularity(interactions: Interactions, config: SplitConfig) -> dict[str, Comparison]:
    """Train what claims are made of with its defaults, and compare with popularity on one split."""
    parts = split(interactions, config)
    found = {
        name: evaluate(ALGORITHMS[name]().fit(parts.train, context=parts.context), parts) for name in CLAIMED
    }
    base = found.pop("popularity").per_user
    return {name: compare(each.per_user, base, "ndcg@10") for name, each in found.items()}


def read_movies() -> Interactions:
    with MOVIES.open(newline="") as file:
        rows = list(csv.DictReader(file))
    users, user_at = np.unique([row["userId"] for row in rows], return_inverse=True)
    items, item_at = np.unique([row["movieId"] for row in rows], return_inverse=True)
    return Interactions(
        IdTable.of(users.tolist()),
        IdTable.of(items.tolist()),
        user_at.astype(np.int32),
        item_at.astype(np.int32),
        np.array([row["rating"] for row in rows], np.float32),
        np.array([row["timestamp"] for row in rows], np.int64),
    )


def test_on_the_generated_shop_als_beats_popularity_by_date() -> None:
    shop = make_shop().interactions
    config, why = default_split(shop)
    assert config.method == "temporal", why
    found = against_popularity(shop, config)
    for name, gain in (("als", 0.3), ("item_knn", 0.15)):
        assert found[name].verdict == "better"
        assert found[name].relative is not None
        assert found[name].relative > gain


def test_on_the_generated_shop_als_beats_popularity_on_the_last_five_choices() -> None:
    found = against_popularity(make_shop().interactions, SplitConfig(method="leave_last", last_n=5))["als"]
    assert found.low > 0
    assert found.relative is not None
    assert found.relative >= 0.15


@pytest.mark.skipif(
    not MOVIES.exists(), reason="ml-latest-small is not here; AISLE_TEST_DATA names its parent"
)
def test_on_movies_als_beats_popularity_on_the_last_five_choices() -> None:
    found = against_popularity(read_movies(), SplitConfig(method="leave_last", last_n=5))["als"]
    assert found.low > 0
    assert found.relative is not None
    assert found.relative >= 0.15
