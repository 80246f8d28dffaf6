"""Rank-biased overlap against its definition, and stability by segment."""

import numpy as np
import pytest

from engine.metrics import overlap
from engine.segments import LEAST
from engine.stability import list_stability, rank_biased_overlap


def by_definition(one: list[int], other: list[int], p: float) -> float:
    """Equation 32 of Webber et al., written as the sums in the paper."""
    short, long = sorted([one, other], key=len)
    s, length = len(short), len(long)
    if length == 0:
        return 1

    def shared(d: int) -> int:
        return len(set(short[:d]) & set(long[:d]))

    agreed = sum(shared(d) / d * p**d for d in range(1, length + 1))
    if s == 0:
        return 0
    ragged = sum(shared(s) * (d - s) / (s * d) * p**d for d in range(s + 1, length + 1))
    rest = ((shared(length) - shared(s)) / length + shared(s) / s) * p**length
    return (1 - p) / p * (agreed + ragged) + rest


def padded(lists: list[list[int]], width: int) -> np.ndarray:
    return np.array([row + [-1] * (width - len(row)) for row in lists], np.int32)


def test_by_hand() -> None:
    one, other = padded([[0, 1]], 2), padded([[1, 0]], 2)
    # Agreement 0 at depth 1 and 1 at depth 2: half of (0.5 · 0 + 0.25 · 1) · 1 / 0.5 … plus what follows.
    assert rank_biased_overlap(one, other, 0.5) == pytest.approx([0.25 + 0.25])
    assert rank_biased_overlap(one, one) == pytest.approx([1])
    assert rank_biased_overlap(one, padded([[2, 3]], 2)) == pytest.approx([0])
    assert rank_biased_overlap(padded([[]], 2), padded([[]], 2)).tolist() == [1]
    assert rank_biased_overlap(one, padded([[]], 2)).tolist() == [0]


@pytest.mark.parametrize("p", [0.5, 0.9, 0.98])
def test_it_agrees_with_its_definition_for_lists_of_any_length(p: float) -> None:
    rng = np.random.default_rng(0)
    ones = [rng.permutation(12)[: rng.integers(0, 9)].tolist() for _ in range(80)]
    others = [rng.permutation(12)[: rng.integers(0, 7)].tolist() for _ in range(80)]
    found = rank_biased_overlap(padded(ones, 8), padded(others, 6), p)
    expected = [by_definition(a, b, p) for a, b in zip(ones, others, strict=True)]
    assert found == pytest.approx(expected, abs=1e-6)
    assert rank_biased_overlap(padded(others, 6), padded(ones, 8), p) == pytest.approx(found, abs=1e-6)


def test_a_change_at_the_top_weighs_more_than_one_at_the_end() -> None:
    base = np.arange(10, dtype=np.int32)[None]
    top, end = base.copy(), base.copy()
    top[0, 0], end[0, 9] = 99, 99
    assert overlap(base, top, 10) == overlap(base, end, 10)
    assert rank_biased_overlap(base, top)[0] < rank_biased_overlap(base, end)[0]


def test_stability_is_given_by_segment_where_there_is_enough() -> None:
    one = np.tile(np.arange(10, dtype=np.int32), (100, 1))
    other = one.copy()
    other[:50] += 100
    changed = np.arange(100) < 50
    few = np.arange(100) < LEAST - 1
    found = {
        each.segment: each for each in list_stability(one, other, {"c": changed, "s": ~changed, "f": few})
    }
    assert found["all"].overlap is not None
    assert found["all"].overlap.value == pytest.approx(0.5)
    assert found["c"].summary()["rank_biased"] == {"value": 0, "low": 0, "high": 0}
    assert found["s"].summary()["overlap"]["value"] == 1
    assert found["f"].summary() == {"segment": "f", "n": LEAST - 1, "overlap": None, "rank_biased": None}
