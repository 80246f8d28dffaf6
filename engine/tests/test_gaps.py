"""Gaps between groups of users and between sellers, by hand."""

import json

import numpy as np
import pytest

from engine.gaps import seller_gap, user_group_gap
from engine.segments import LEAST


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
