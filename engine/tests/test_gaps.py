"""Gaps between groups of users and between sellers, by hand."""

import json

import numpy as np
import pytest

from engine.estimators import ALGORITHMS
from engine.evaluation import evaluate
from engine.gaps import MOST_LABELS, measure_gaps, seller_gap, user_group_gap
from engine.segments import LEAST, user_segments
from engine.splitting import SplitConfig, split
from engine.synthetic import make_shop


def test_the_gap_is_between_the_best_and_the_worst_served_group() -> None:
    values = np.repeat([0.1, 0.5, 0.3, 0.9], [100, 100, 100, LEAST - 1]).astype(np.float32)
    values[:50] = 0.2
    ends = np.cumsum([100, 100, 100, LEAST - 1])
    at = np.arange(len(values))
    starts = [0, *ends[:-1]]
    groups = {
        name: (at >= a) & (at < b)
        for name, a, b in zip(["low", "high", "mid", "few"], starts, ends, strict=True)
    }
    found = user_group_gap(values, groups)
    assert (found.best, found.worst) == ("high", "low")
    assert found.gap is not None
    assert found.gap.value == pytest.approx(0.35)
    assert found.gap.low == pytest.approx(0.35 - 1.96 * np.sqrt(0.05**2 / 99), rel=1e-4)
    assert found.groups["few"] == (LEAST - 1, None)
    assert json.loads(json.dumps(found.summary()))["groups"]["mid"]["n"] == 100


def test_one_group_alone_has_no_gap() -> None:
    found = user_group_gap(np.ones(40), {"all": np.ones(40, bool), "nobody": np.zeros(40, bool)})
    assert found.gap is None
    assert found.summary()["best"] is None


def test_exposure_that_follows_the_catalogue_has_no_gap() -> None:
    label_of = np.array([0, 0, 1, 1, -1], np.int32)
    even = seller_gap(np.array([[0, 2], [3, 1], [4, -1]], np.int32), label_of, ["a", "b"])
    assert even.gap == pytest.approx(0)
    uneven = seller_gap(np.array([[0, 1], [1, 0]], np.int32), label_of, ["a", "b"])
    assert uneven.gap == pytest.approx(0.5)
    assert [each.exposure_share for each in uneven.labels] == [1, 0]
    assert [each.n_items for each in uneven.labels] == [2, 2]


def test_a_higher_place_is_more_exposure() -> None:
    found = seller_gap(np.array([[0, 1]], np.int32), np.array([0, 1], np.int32), ["a", "b"])
    first, second = 1, 1 / np.log2(3)
    assert found.gap == pytest.approx(first / (first + second) - 0.5)
    assert json.loads(json.dumps(found.summary()))["labels"][0]["label"] == "a"
    assert seller_gap(np.array([[-1]], np.int32), np.array([0], np.int32), ["a"]).gap is None


def test_an_evaluation_tells_all_gaps_that_its_items_allow() -> None:
    shop = make_shop(n_users=400, n_items=150, n_interactions=5_000)
    divided = split(shop.interactions, SplitConfig(), items=shop.facts)
    found = evaluate(ALGORITHMS["popularity"]().fit(divided.train), divided)
    gaps = measure_gaps(found, divided, 5)
    values, groups = found.per_user.values["ndcg@5"], user_segments(divided.train, found.per_user.users)
    means = [values[each].mean() for each in groups.values() if each.sum() >= LEAST]
    assert gaps.shoppers.gap is not None
    assert gaps.shoppers.gap.value == pytest.approx(max(means) - min(means), rel=1e-5)
    assert gaps.sellers is not None
    assert gaps.categories is not None
    assert gaps.sellers.gap is not None
    first = gaps.sellers.labels[0]
    of, names = shop.facts.sellers.of, shop.facts.sellers.names.to_list()
    listed, weight = found.top[:, :5], 1 / np.log2(np.arange(5) + 2)
    theirs = ((of[listed] == names.index(first.label)) * weight).sum() / (weight.sum() * len(listed))
    assert first.exposure_share == pytest.approx(theirs)
    assert first.n_items == (of == names.index(first.label)).sum()
    assert json.loads(json.dumps(gaps.summary(), allow_nan=False))["metric"] == "ndcg@5"
    alone = split(shop.interactions, SplitConfig())
    without = measure_gaps(found, alone).summary()
    assert (without["sellers"], without["categories"]) == (None, None)


def test_of_many_sellers_a_summary_lists_the_largest_and_counts_all() -> None:
    n = 3 * MOST_LABELS
    label_of = np.concatenate([np.arange(n), [n - 1]]).astype(np.int32)
    found = seller_gap(np.array([[0]], np.int32), label_of, [f"s{at}" for at in range(n)])
    told = found.summary()
    assert (told["n_labels"], len(told["labels"]), told["labels"][0]["label"]) == (
        n,
        MOST_LABELS,
        f"s{n - 1}",
    )
    assert told["gap"] == pytest.approx(1 - 1 / (n + 1))
