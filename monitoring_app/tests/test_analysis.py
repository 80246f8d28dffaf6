"""Verdicts: small samples say so, clear failures fail, noise does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring_app.analysis import judge
from monitoring_app.checks import Facts, Parity
from monitoring_app.histograms import add, from_cumulative, quantile
from monitoring_app.intervals import answers_to_prove, newcombe, wilson
from monitoring_app.selectors import ArmNumbers
from portal.core import figures

SAME = Parity(320, 320)
FAST = {"5": 95, "10": 5}
SLOW = {"5": 10, "10": 0, "25": 0, "50": 90}


def arm(requests=1000, errors=0, latency=None, answers=None, empty=0, fallbacks=0):
    scale = requests / 100
    histogram = {upper: round(count * scale) for upper, count in (latency or FAST).items()}
    return ArmNumbers(requests, errors, answers or requests, fallbacks, empty, histogram)


def verdict_of(canary, stable, min_answers=100, since_s=60):
    verdict, checks = judge(Facts(canary, stable, min_answers, since_s, parity=SAME))
    return verdict, {check["name"]: check for check in checks}


def test_an_arm_as_good_as_stable_passes():
    assert verdict_of(arm(), arm())[0] == "pass"


@pytest.mark.parametrize(
    ("canary", "stable", "since_s", "sentence"),
    [
        (40, 1000, 60, "needs 60 more answers from the new release, about 1 min 30 s at this rate"),
        (1000, 99, 990, "needs 1 more answer from the live release, about 10 s at this rate"),
        (60, 30, 3600, "needs 70 more answers from the live release, about 2 h 20 min at this rate"),
        (0, 1000, 60, "needs 100 more answers from the new release"),
        (1, 1000, 86_400 * 2, "needs 99 more answers from the new release"),
    ],
)
def test_too_few_answers_hold_and_say_how_many_are_missing_and_how_long_they_take(
    canary, stable, since_s, sentence
):
    verdict, checks = verdict_of(arm(canary), arm(stable), since_s=since_s)
    assert verdict == "not_enough_data"
    assert checks["answers"]["sentence"].replace(figures.SPACE, " ") == sentence
    assert checks["answers"]["missing"] == 100 - min(canary, stable)


def test_silence_never_fails():
    assert verdict_of(ArmNumbers(), ArmNumbers())[0] == "not_enough_data"


def test_many_errors_fail_even_before_the_sample_is_complete():
    assert verdict_of(arm(50, errors=25), arm(1000), min_answers=100)[0] == "fail"


def test_one_error_in_twenty_is_no_proof():
    verdict, checks = verdict_of(arm(100, errors=2), arm(1000))
    assert verdict == "inconclusive"
    assert checks["errors"]["value"] == 2.0


def test_a_slow_release_fails_and_says_both_figures():
    verdict, checks = verdict_of(arm(latency=SLOW), arm())
    assert verdict == "fail"
    assert "stable's is" in checks["latency"]["sentence"]


def test_a_p95_that_is_slow_by_a_few_answers_of_a_hundred_is_no_proof():
    shaky = {"5": 92, "10": 0, "25": 0, "50": 8}
    verdict, checks = verdict_of(arm(100, latency=shaky), arm(1000))
    assert verdict == "not_enough_data"
    assert "may be chance; needs 475 more answers" in checks["latency"]["sentence"]
    assert verdict_of(arm(10_000, latency=shaky), arm(10_000))[0] == "fail"


def test_a_difference_below_five_milliseconds_is_noise():
    assert verdict_of(arm(latency={"4": 100}), arm(latency={"2": 100}))[0] == "pass"


@pytest.mark.parametrize("name", ["empty", "fallbacks"])
def test_lists_are_compared_with_the_live_releases(name):
    """More than five points above stable fails; what stable does too is no fault of the new release."""

    def both(canary, stable):
        verdict, checks = verdict_of(arm(**{name: canary}), arm(**{name: stable}))
        assert checks[name]["verdict"] == verdict
        return verdict

    assert both(500, 0) == "fail"
    assert both(55, 0) == "inconclusive"
    assert both(45, 0) == "pass"
    assert both(520, 500) == "pass"
    assert both(640, 500) == "fail"


def test_empty_lists_of_the_only_release_fail_but_best_sellers_are_only_shown():
    assert verdict_of(arm(empty=500), None)[0] == "fail"
    verdict, checks = verdict_of(arm(fallbacks=500), None)
    assert (verdict, checks["fallbacks"]["verdict"]) == ("pass", "not_enough_data")


def test_nothing_is_inconclusive_before_the_sample_is_complete():
    assert verdict_of(arm(50, errors=1), arm(1000))[0] == "not_enough_data"
    assert verdict_of(arm(100, errors=2), arm(1000))[0] == "inconclusive"


def test_a_step_without_another_arm_is_judged_by_errors_alone():
    assert verdict_of(arm(), None)[0] == "pass"
    assert verdict_of(arm(errors=500), None)[0] == "fail"


@given(st.integers(1, 10_000), st.data())
def test_the_interval_holds_the_share_and_stays_a_share(n, data):
    hits = data.draw(st.integers(0, n))
    low, high = wilson(hits, n)
    assert 0 <= low <= hits / n + 1e-12
    assert hits / n - 1e-12 <= high <= 1


def test_the_interval_is_wilsons():
    # Known answer: 10 of 100 at 95 % is 5.52 % to 17.44 %.
    assert wilson(10, 100) == pytest.approx((0.0552, 0.1744), abs=1e-4)


@given(st.dictionaries(st.sampled_from(["1", "2.5", "5", "10", "25"]), st.integers(0, 50)))
def test_quantiles_grow_with_their_share(histogram):
    values = [quantile(histogram, share) for share in (0.1, 0.5, 0.95, 0.99)]
    if sum(histogram.values()) == 0:
        assert values == [None] * 4
    else:
        assert values == sorted(values)


def test_cumulative_counts_become_buckets_that_add_up():
    buckets = from_cumulative([(1.0, 3), (5.0, 3), (10.0, 7)])
    assert buckets == {"1": 3, "5": 0, "10": 4}
    assert add(buckets, {"10": 1}) == {"1": 3, "5": 0, "10": 5}


def test_the_interval_of_a_difference_is_newcombes():
    # Newcombe 1998, table II (a), method 10: 56/70 - 48/80 is 0.0524 to 0.3339.
    assert newcombe(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=1e-4)


@given(st.floats(0.001, 0.5), st.floats(1.05, 8))
def test_so_many_answers_prove_a_share_above_the_limit_and_hardly_fewer(limit, times):
    share = min(0.95, limit * times)
    n = answers_to_prove(share, limit)
    assert wilson(share * n, n)[0] >= limit - 1e-9
    assert wilson(share * (n - 1), n - 1)[0] <= limit + 1e-9
    assert answers_to_prove(limit, limit) is None
