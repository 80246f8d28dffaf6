"""Paired tests against scipy's, by hand, and what several comparisons may claim together."""

import numpy as np
import pytest
from scipy.stats import permutation_test, ttest_1samp, wilcoxon

from engine.evaluation import PerUser, compare, compare_all
from engine.significance import effect_size, holm, paired_p_value


def users_metrics(values: np.ndarray) -> PerUser:
    n = len(values)
    return PerUser(np.arange(n, dtype=np.int32), np.ones(n, np.int32), {"ndcg@10": values.astype(np.float32)})


def test_few_users_are_counted_flip_by_flip() -> None:
    # All eight of one sign: of 2^8 ways to flip only two are as far from zero.
    assert paired_p_value(np.full(8, 0.1)) == pytest.approx(2 / 256)
    assert paired_p_value(np.array([0.1, -0.1])) == 1
    assert paired_p_value(np.zeros(50)) == 1
    assert paired_p_value(np.array([*np.full(8, 0.1), 0, np.nan])) == pytest.approx(2 / 256)


@pytest.mark.parametrize("n", [60, 180, 2_000])  # counted, counted, and by the normal limit
def test_the_test_agrees_with_other_paired_tests(n: int) -> None:
    differences = np.random.default_rng(n).normal(1.8 / np.sqrt(n), 1, n)
    found = paired_p_value(differences)
    assert found == pytest.approx(ttest_1samp(differences, 0).pvalue, abs=0.015)
    assert found == pytest.approx(wilcoxon(differences).pvalue, abs=0.1)
    assert paired_p_value(-differences) == pytest.approx(found, abs=0.01)


@pytest.mark.parametrize("n", [6, 13, 40])
def test_the_test_agrees_with_scipys_permutation_test(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.4, 1, n)
    theirs = permutation_test(
        (differences,), np.sum, permutation_type="samples", rng=np.random.default_rng(1)
    )
    assert paired_p_value(differences) == pytest.approx(theirs.pvalue, abs=1e-9 if n <= 13 else 0.02)


def test_effect_size_is_the_mean_in_standard_deviations() -> None:
    assert effect_size(np.array([1.0, 2.0, 3.0])) == pytest.approx(2)
    assert effect_size(np.zeros(3)) == 0
    assert effect_size(np.full(3, -1.0)) == -np.inf


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1, 1]
    assert holm([]) == []


def test_of_many_models_without_a_difference_none_is_called_better() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(250)
    others = {f"m{n}": users_metrics(base + rng.normal(0, 0.1, 250)) for n in range(20)}
    alone = [compare(other, users_metrics(base)).verdict for other in others.values()]
    together = compare_all(others, users_metrics(base))
    assert len(set(alone)) > 1  # one in twenty errs alone
    assert {each.verdict for each in together.values()} == {"no difference"}
    better = compare_all({**others, "real": users_metrics(base + 0.05)}, users_metrics(base))
    assert better["real"].verdict == "better"
    assert better["real"].p_adjusted is not None
    assert better["real"].p_adjusted <= 0.05
    assert all(each.p_adjusted >= each.p_value for each in better.values() if each.p_adjusted)
