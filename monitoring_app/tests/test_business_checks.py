"""Clicks and purchases of both arms: what is concluded from which figures, and nothing from silence."""

import pytest

from deployments_app.plan_rules import Checks
from monitoring_app.analysis import judge
from monitoring_app.business_checks import check_clicks, check_purchases, compare_shares
from monitoring_app.checks import Facts, Reactions
from monitoring_app.intervals import newcombe, sample_needed
from monitoring_app.selectors import ArmNumbers
from monitoring_app.selectors.feedback import Reaction
from monitoring_app.tests.test_analysis import SAME

USUAL = (5_000, 100_000)  # 5 %

# canary (hits, lists), stable, allowed loss -> verdict
TABLE = [
    ((500, 10_000), (4_500, 90_000), 0.4, "pass"),
    ((600, 10_000), (4_500, 90_000), 0.4, "pass"),
    ((345, 10_000), (4_500, 90_000), 0.4, "pass"),  # a third less, and that for certain: less than allowed
    ((200, 10_000), (4_500, 90_000), 0.4, "fail"),
    ((0, 1_000), (450, 9_000), 0.4, "fail"),  # long before the sample is complete
    ((0, 40), (18, 360), 0.4, "not_enough_data"),
    ((2, 40), (18, 360), 0.4, "not_enough_data"),
    ((25, 500), (225, 4_500), 0.4, "not_enough_data"),
    ((45, 1_500), (675, 13_500), 0.4, "inconclusive"),  # 40 % less, and the sample is complete
    ((45, 1_500), (675, 13_500), 0.9, "pass"),
    ((0, 0), (450, 9_000), 0.4, "not_enough_data"),
    ((0, 0), (0, 0), 0.4, "not_enough_data"),
    ((0, 5_000), (0, 50_000), 0.4, "not_enough_data"),  # no event has come yet in this step
    ((9, 5_000), (90, 50_000), 0.4, "not_enough_data"),  # few have
]


@pytest.mark.parametrize(("canary", "stable", "loss", "verdict"), TABLE)
def test_what_is_concluded_from_both_arms(canary, stable, loss, verdict):
    check = compare_shares("CTR", loss, canary, stable, USUAL, 600)
    assert check.verdict == verdict, check.sentence
    assert check.sentence


def test_missing_exposures_are_told_with_how_long_they_take():
    check = compare_shares("CTR", 0.4, (25, 500), (225, 4_500), USUAL, 3600)
    assert check.missing == sample_needed(0.05, 0.02, 9) - 500 == 887
    assert check.sentence.replace("\u00a0", " ") == (
        "CTR needs 887 more exposures, about 1 h 46 min at this rate"
    )


def test_both_figures_and_the_interval_of_their_difference_are_told():
    sentence = compare_shares("CTR", 0.4, (200, 10_000), (4_500, 90_000), USUAL, 600).sentence
    assert "CTR is 2.0" in sentence
    assert "stable's is 5.0" in sentence
    assert "−3.0 points (95 %: −3.3 to −2.7)" in sentence


def facts(canary, stable, usual=None, limits=None):
    answers = ArmNumbers(requests=canary.exposures, answers=canary.exposures, latency={"5": canary.exposures})
    others = ArmNumbers(requests=stable.exposures, answers=stable.exposures, latency={"5": stable.exposures})
    found = Reactions(canary, stable, usual or stable)
    return Facts(answers, others, 100, 600, limits or Checks(), found, parity=SAME)


def test_a_shop_that_sends_nothing_is_judged_as_before():
    silent = facts(Reaction(1000), Reaction(9000))
    assert check_clicks(silent) is check_purchases(silent) is None
    assert judge(silent)[0] == "pass"


def test_a_loss_of_one_leaves_it_out():
    limits = Checks(max_ctr_loss=1, max_conversion_loss=1)
    broken = facts(Reaction(1000), Reaction(9000, 900, 90), limits=limits)
    assert judge(broken)[0] == "pass"


def test_lost_clicks_fail_a_step_that_is_well_otherwise():
    verdict, checks = judge(facts(Reaction(1000, 1), Reaction(9000, 900)))
    assert verdict == "fail"
    assert [check["name"] for check in checks if check["verdict"] == "fail"] == ["ctr"]


def test_a_step_waits_for_clicks_and_for_purchases_only_where_there_are_no_clicks():
    verdict, checks = judge(facts(Reaction(300, 15, 1), Reaction(2700, 135, 9)))
    assert verdict == "not_enough_data"
    assert next(check for check in checks if check["verdict"] == verdict)["name"] == "ctr"
    plenty = facts(Reaction(5_000, 250, 1), Reaction(45_000, 2_250, 15))
    verdict, checks = judge(plenty)
    assert verdict == "pass"
    assert {check["name"]: check["verdict"] for check in checks}["conversion"] == "not_enough_data"
    verdict, _ = judge(facts(Reaction(5_000, 0, 1), Reaction(45_000, 0, 15)))
    assert verdict == "not_enough_data"


def test_purchases_that_stop_fail_although_clicks_go_on():
    verdict, checks = judge(facts(Reaction(20_000, 1_000, 1), Reaction(180_000, 9_000, 1_800)))
    assert verdict == "fail"
    assert [check["name"] for check in checks if check["verdict"] == "fail"] == ["conversion"]


def test_the_interval_of_a_difference_is_newcombes():
    # His paper's example (a): 56 of 70 against 48 of 80 is 5.24 to 33.39 points.
    assert newcombe(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_the_sample_tells_the_allowed_loss_from_none_nine_times_in_ten():
    """Draw many steps without any loss, each as long as reckoned: about 90 % pass, and next to none fails."""
    import numpy as np

    rng = np.random.default_rng(7)
    n = sample_needed(0.1, 0.04, 9)
    canary, stable = rng.binomial(n, 0.1, 1000), rng.binomial(9 * n, 0.1, 1000)
    found = [
        compare_shares("CTR", 0.4, (int(a), n), (int(b), 9 * n), (100, 1000), 60).verdict
        for a, b in zip(canary, stable, strict=True)
    ]
    assert 0.86 < found.count("pass") / 1000 < 0.97
    assert found.count("fail") <= 1
