"""Metrics by segment against a plain loop, and silence where there is too little."""

import json

import numpy as np
import pytest

from engine.estimators import ALGORITHMS
from engine.evaluation import Evaluation, evaluate
from engine.intervals import intervals
from engine.segments import LEAST, Segment, _segment, by_segment, item_segments, user_segments
from engine.splitting import Split, SplitConfig, split
from engine.synthetic import make_shop


@pytest.fixture(scope="module")
def held_out() -> Split:
    shop = make_shop(n_users=600, n_items=200, n_interactions=9_000)
    return split(shop.interactions, SplitConfig(method="temporal"), items=shop.facts)


@pytest.fixture(scope="module")
def found(held_out: Split) -> Evaluation:
    return evaluate(ALGORITHMS["als"]().fit(held_out.train), held_out)


@pytest.fixture(scope="module")
def segments(found: Evaluation, held_out: Split) -> list[Segment]:
    return by_segment(found, held_out)


def test_kinds_of_shoppers_and_items_divide_all_of_them(held_out: Split, found: Evaluation) -> None:
    users = user_segments(held_out.train, found.per_user.users)
    assert (sum(each.astype(int) for each in users.values()) == 1).all()
    items = item_segments(held_out.train)
    assert (items["head"] != items["tail"]).all()
    in_head = np.isin(held_out.train.indices, np.flatnonzero(items["head"])).mean()
    assert 0.8 <= in_head < 0.85


def test_a_kind_of_shopper_has_the_mean_of_its_members(
    held_out: Split, found: Evaluation, segments: list[Segment]
) -> None:
    members = user_segments(held_out.train, found.per_user.users)
    for each in segments[:3]:
        assert each.n == members[each.name].sum()
        if each.n < LEAST:
            assert not each.metrics
            continue
        expected = found.per_user.values["ndcg@10"][members[each.name]].mean()
        assert each.metrics["ndcg@10"].value == pytest.approx(expected, rel=1e-5)
        resampled = intervals([found.per_user.values["ndcg@10"][members[each.name]]])[0]
        for side in ("low", "high"):
            assert getattr(each.metrics["ndcg@10"], side) == pytest.approx(
                getattr(resampled, side), abs=0.1 * (resampled.high - resampled.low)
            )


def test_no_interval_leaves_the_metric_behind() -> None:
    rare = np.zeros(LEAST)
    rare[0] = 1
    low, often = _segment("items", "a", "A", {"x": rare}), _segment("items", "a", "A", {"x": 1 - rare})
    assert low.metrics["x"].low == 0 < low.metrics["x"].value < low.metrics["x"].high
    assert often.metrics["x"].high == 1 > often.metrics["x"].value > often.metrics["x"].low


def test_a_kind_of_item_counts_only_its_choices_as_right(
    held_out: Split, found: Evaluation, segments: list[Segment]
) -> None:
    items = item_segments(held_out.train)
    for each in segments[3:5]:
        recalls = []
        for user, listed in zip(found.per_user.users, found.top[:, :10], strict=True):
            chosen = held_out.test[user].indices
            chosen = chosen[items[each.name][chosen]]
            if len(chosen):
                recalls.append(len(np.intersect1d(chosen, listed)) / len(chosen))
        assert each.n == len(recalls)
        assert each.metrics["recall@10"].value == pytest.approx(np.mean(recalls), rel=1e-5)
    assert segments[3].metrics["recall@10"].value > segments[4].metrics["recall@10"].value


def test_segments_with_too_few_shoppers_say_so_and_all_fit_a_row(segments: list[Segment]) -> None:
    kinds = [each.kind for each in segments]
    assert kinds[:5] == ["shoppers"] * 3 + ["items"] * 2
    assert set(kinds[5:]) == {"category"}
    for each in segments:
        assert bool(each.metrics) == (each.n >= LEAST)
        assert each.note.startswith("Too few shoppers") != bool(each.metrics)
    assert json.loads(json.dumps([each.summary() for each in segments], allow_nan=False))
