"""Evaluations against a plain loop, and what a comparison may claim."""

from pathlib import Path

import numpy as np
import pytest

from engine.estimators import ALGORITHMS
from engine.estimators.base import Progress
from engine.evaluation import (
    Evaluation,
    PerUser,
    compare,
    evaluate,
    metric_title,
    verdict_sentence,
)
from engine.intervals import intervals, ratio_intervals
from engine.metric_meanings import METRICS
from engine.splitting import Split, SplitConfig, split
from engine.synthetic import make_shop
from engine.testing import Cancelled


@pytest.fixture(scope="module")
def held_out() -> Split:
    shop = make_shop(n_users=400, n_items=200, n_interactions=9_000)
    return split(shop.interactions, SplitConfig(method="temporal"), items=shop.facts)


@pytest.fixture(scope="module")
def measured(held_out: Split) -> dict[str, Evaluation]:
    return {
        name: evaluate(kind().fit(held_out.train, context=held_out.context), held_out)
        for name, kind in ALGORITHMS.items()
    }


def users_metrics(values: list[float], users: int | None = None) -> PerUser:
    n = len(values)
    numbers = np.arange(n if users is None else users, dtype=np.int32)
    return PerUser(numbers, np.ones(n, np.int32), {"ndcg@10": np.array(values, np.float32)})


def test_the_whole_catalogue_is_ranked_with_train_items_left_out(held_out: Split) -> None:
    model = ALGORITHMS["als"]().fit(held_out.train)
    found = evaluate(model, held_out, ks=(10,))
    for at in range(0, len(found.per_user.users), 17):
        user = int(found.per_user.users[at])
        scores = model.user_factors_[user].astype(float) @ model.item_factors_.T.astype(float)
        scores[held_out.train[user].indices] = -np.inf
        top = np.argsort(-scores, kind="stable")[:10]
        truth = held_out.test[user].indices
        gain = sum(1 / np.log2(place + 2) for place, item in enumerate(top) if item in truth)
        ideal = sum(1 / np.log2(place + 2) for place in range(min(10, len(truth))))
        assert found.per_user.values["ndcg@10"][at] == pytest.approx(gain / ideal, abs=1e-5)
        assert found.per_user.relevant[at] == len(truth)


def test_a_list_of_no_length_is_refused(held_out: Split) -> None:
    model = ALGORITHMS["popularity"]().fit(held_out.train)
    for ks in ((0,), (10, -1)):
        with pytest.raises(ValueError, match="k must be at least 1"):
            evaluate(model, held_out, ks)


def test_every_metric_has_its_mean_within_its_interval(measured: dict[str, Evaluation]) -> None:
    found = measured["als"]
    assert {"ndcg@5", "recall@10", "precision@20", "map@10", "mrr@5", "hit_rate@20", "coverage@10"} <= set(
        found.metrics
    )
    for name, values in found.per_user.values.items():
        each = found.metrics[name]
        assert each.value == pytest.approx(values.mean(), rel=1e-5)
        assert each.low is not None
        assert each.high is not None
        assert each.low <= each.value <= each.high
    assert found.metrics["coverage@20"].low is None
    assert found.summary()["ndcg@10"]["value"] == found.metrics["ndcg@10"].value


def test_metrics_beyond_accuracy_come_at_ten_and_the_dear_ones_when_asked(
    held_out: Split, measured: dict[str, Evaluation]
) -> None:
    usual = {"novelty@10", "serendipity@10", "arp@10", "aplt@10", "category_diversity@10", "gini@10"}
    assert usual | {"personalisation@10"} <= set(measured["als"].metrics)
    assert set(measured["als"].metrics).isdisjoint({"auc", "diversity@10", "rmse", "novelty@5"})
    found = evaluate(ALGORITHMS["als"]().fit(held_out.train), held_out, (20,), thorough=True)
    assert {"auc", "diversity@20", "novelty@20"} <= set(found.metrics)
    assert 0.5 < found.metrics["auc"].value < 1
    for name in found.metrics:
        assert name.partition("@")[0] in METRICS


def test_personal_lists_are_more_personal_and_less_popular_than_best_sellers(
    measured: dict[str, Evaluation],
) -> None:
    als, best = measured["als"].metrics, measured["popularity"].metrics
    for name in ("personalisation@10", "novelty@10", "aplt@10", "serendipity@10"):
        assert als[name].value >= best[name].value
    for name in ("arp@10", "gini@10"):
        assert als[name].value < best[name].value
    assert best["serendipity@10"].value == 0


def test_users_for_whom_a_metric_is_not_defined_are_left_out_of_its_mean() -> None:
    values = np.random.default_rng(0).random(500)
    part = np.where(np.arange(500) < 400, values, np.nan)
    whole, some = intervals([values, part])
    assert whole.value == pytest.approx(values.mean())
    assert some.value == pytest.approx(values[:400].mean())
    assert some.low is not None
    assert some.high is not None
    assert (some.high - some.low) / 2 == pytest.approx(1.96 * part[:400].std() / np.sqrt(400), rel=0.1)


def test_the_interval_of_a_ratio_agrees_for_few_and_for_many_users() -> None:
    rng = np.random.default_rng(0)
    bottoms = rng.integers(1, 9, (50_001, 1)).astype(float)
    tops = bottoms * rng.random((50_001, 1))
    many, few = ratio_intervals(tops, bottoms)[0], ratio_intervals(tops[:50_000], bottoms[:50_000])[0]
    assert many.low == pytest.approx(few.low, abs=3e-4)
    assert many.high == pytest.approx(few.high, abs=3e-4)


def test_the_bootstrap_interval_is_as_wide_as_theory_says_and_repeats_by_seed() -> None:
    values = np.random.default_rng(0).random(2_000)
    one, two = intervals([values], seed=3)[0], intervals([values], seed=3)[0]
    assert one == two
    assert one.low is not None
    assert one.high is not None
    assert (one.high - one.low) / 2 == pytest.approx(1.96 * values.std() / np.sqrt(2_000), rel=0.1)


def test_many_users_get_the_normal_interval() -> None:
    values = np.random.default_rng(0).random(60_000)
    found = intervals([values])[0]
    assert found.high == pytest.approx(values.mean() + 1.96 * values.std() / np.sqrt(60_000), rel=1e-4)


def test_progress_is_told_between_blocks_and_can_cancel(held_out: Split) -> None:
    model = ALGORITHMS["popularity"]().fit(held_out.train)
    reports: list[Progress] = []
    evaluate(model, held_out, progress=reports.append)
    assert [report.stage for report in reports] == ["evaluate"] * len(reports)
    assert reports[-1].done == reports[-1].total == held_out.n_test_users

    def stop(report: Progress) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        evaluate(model, held_out, progress=stop)


def test_a_model_is_no_different_from_itself(measured: dict[str, Evaluation]) -> None:
    same = compare(measured["als"].per_user, measured["als"].per_user)
    assert (same.verdict, same.difference, same.low, same.high) == ("no difference", 0, 0, 0)
    assert verdict_sentence(same, "ALS", "the live model").startswith(
        "No difference between ALS and the live model"
    )


def test_a_small_but_steady_gain_is_found_by_pairing_users() -> None:
    rng = np.random.default_rng(1)
    base = rng.random(300)
    better = compare(users_metrics((base * 1.05).tolist()), users_metrics(base.tolist()))
    assert better.verdict == "better"
    assert better.relative == pytest.approx(0.05, rel=1e-3)
    worse = compare(users_metrics(base.tolist()), users_metrics((base * 1.05).tolist()))
    assert worse.verdict == "worse"
    noise = compare(users_metrics(rng.random(300).tolist()), users_metrics(base.tolist()))
    assert noise.verdict == "no difference"


def test_verdicts_read_as_sentences() -> None:
    base = np.random.default_rng(1).random(300)
    found = compare(users_metrics((base * 1.31).tolist()), users_metrics(base.tolist()))
    assert verdict_sentence(found, "ALS", "Popularity").startswith(
        "ALS beats Popularity by 31 % on NDCG@10 (95 %"
    )
    found = compare(users_metrics((base * 0.5).tolist()), users_metrics(base.tolist()))
    assert verdict_sentence(found, "ALS", "Popularity").startswith(
        "ALS is behind Popularity by 50 % on NDCG@10"
    )
    nothing = compare(users_metrics(base.tolist()), users_metrics([0.0] * 300))
    assert nothing.relative is None
    assert "Popularity finds nothing" in verdict_sentence(nothing, "ALS", "Popularity")
    assert metric_title("hit_rate@5") == "Hit rate@5"


def test_runs_on_different_users_or_metrics_are_not_compared() -> None:
    with pytest.raises(ValueError, match="different users"):
        compare(users_metrics([0.1, 0.2]), users_metrics([0.1, 0.2, 0.3]))
    with pytest.raises(ValueError, match="not measured"):
        compare(users_metrics([0.1]), users_metrics([0.1]), "recall@10")


def test_what_was_measured_for_each_user_is_kept_in_a_file(
    measured: dict[str, Evaluation], tmp_path: Path
) -> None:
    measured["als"].per_user.save(tmp_path / "users.npz")
    kept = PerUser.load(tmp_path / "users.npz")
    assert compare(kept, measured["als"].per_user).difference == 0
    assert set(kept.values) == set(measured["als"].per_user.values)
