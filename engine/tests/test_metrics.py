"""Each metric by hand, and against a slow reference written from the definitions."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.metrics import NAMES, coverage, find_hits, overlap, per_user_metrics


def by_definition(listed: list[int], chosen: set[int], k: int) -> dict[str, float]:
    """Compute every metric for one user, straight from the textbook."""
    head = listed[:k]
    found = [item in chosen for item in head]
    gain = sum(1 / math.log2(place + 2) for place, hit in enumerate(found) if hit)
    ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(chosen))))
    precisions = [sum(found[: place + 1]) / (place + 1) for place, hit in enumerate(found) if hit]
    first = next((place for place, hit in enumerate(found) if hit), None)
    return {
        "ndcg": gain / ideal,
        "recall": sum(found) / len(chosen),
        "precision": sum(found) / k,
        "f1": 2 * sum(found) / (k + len(chosen)),
        "map": sum(precisions) / min(k, len(chosen)),
        "mrr": 0 if first is None else 1 / (first + 1),
        "hit_rate": float(first is not None),
    }


def measured(listed: list[list[int]], chosen: list[set[int]], ks: tuple[int, ...]) -> dict[str, np.ndarray]:
    truth = np.zeros((len(chosen), 60), np.float32)
    for row, items in enumerate(chosen):
        truth[row, list(items)] = 1
    hits = find_hits(np.array(listed, np.int32), sp.csr_matrix(truth))
    return per_user_metrics(hits, np.array([len(items) for items in chosen], np.int32), ks)


def test_one_list_measured_by_hand() -> None:
    # Chosen: 1 and 4 and 9. Listed: 1 first and 4 third.
    found = measured([[1, 2, 4, 3, 5]], [{1, 4, 9}], (5,))
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    assert found["ndcg@5"][0] == pytest.approx((1 + 1 / 2) / ideal)
    assert found["recall@5"][0] == pytest.approx(2 / 3)
    assert found["precision@5"][0] == pytest.approx(2 / 5)
    assert found["map@5"][0] == pytest.approx((1 + 2 / 3) / 3)
    assert found["mrr@5"][0] == pytest.approx(1)
    assert found["hit_rate@5"][0] == 1


def test_a_perfect_list_scores_one_and_a_useless_one_zero() -> None:
    found = measured([[7, 8, 9, 0, 1], [0, 1, 2, 3, 4]], [{7, 8, 9}, {50}], (5,))
    for name in ("ndcg", "recall", "map", "mrr", "hit_rate"):
        assert found[f"{name}@5"].tolist() == [1, 0]


def test_a_list_cut_short_by_minus_one_counts_as_misses() -> None:
    found = measured([[3, -1, -1, -1, -1]], [{3, 4}], (5,))
    assert found["recall@5"][0] == 0.5
    assert found["precision@5"][0] == pytest.approx(0.2)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_metric_agrees_with_its_definition(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 6))
    everything = st.permutations(range(60))
    listed = [data.draw(everything)[:20] for _ in range(n)]
    chosen = [data.draw(st.sets(st.integers(0, 59), min_size=1, max_size=30)) for _ in range(n)]
    found = measured(listed, chosen, (5, 10, 20))
    for user in range(n):
        for k in (5, 10, 20):
            for name, value in by_definition(listed[user], chosen[user], k).items():
                assert found[f"{name}@{k}"][user] == pytest.approx(value, rel=1e-5, abs=1e-7)
                assert 0 <= found[f"{name}@{k}"][user] <= 1
    assert set(found) == {f"{name}@{k}" for name in NAMES for k in (5, 10, 20)}


def test_hits_of_a_user_are_never_taken_for_a_neighbours() -> None:
    truth = sp.csr_matrix(np.array([[0, 0, 1], [1, 0, 0]], np.float32))
    hits = find_hits(np.array([[0, 2], [0, 2]], np.int32), truth)
    assert hits.tolist() == [[False, True], [True, False]]


def test_users_without_relevant_items_are_refused() -> None:
    with pytest.raises(ValueError, match="relevant"):
        per_user_metrics(np.zeros((1, 5), bool), np.array([0], np.int32), (5,))


def test_coverage_counts_distinct_listed_items() -> None:
    assert coverage(np.array([[0, 1], [1, -1]], np.int32), 8) == 0.25


def test_overlap_ignores_order_and_empty_places() -> None:
    one = np.array([[1, 2, 3], [1, -1, -1]], np.int32)
    other = np.array([[3, 1, 9], [2, -1, -1]], np.int32)
    assert overlap(one, other, 3) == pytest.approx([2 / 3, 0])
    assert overlap(one, one, 3) == pytest.approx([1, 1 / 3])
