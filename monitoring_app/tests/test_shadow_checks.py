"""A shadow is judged by pairs: the same shopper asked of both releases."""

from dataclasses import replace

import pytest

from deployments_app.gateway_report import Pairs
from deployments_app.plan_rules import Checks
from monitoring_app.analysis import judge
from monitoring_app.checks import Facts
from monitoring_app.tests.test_analysis import SAME, arm

# 400 shoppers: lists half the same (standard deviation 0.2), 10 ms against 8 (differences 2 ± 2), scores 2
# against 1 ± 0.5.
PAIRS = Pairs(
    "rol_1",
    asked=400,
    answered=400,
    overlap=200.0,
    overlap_squared=400 * (0.5**2 + 0.2**2),
    live_ms=3200.0,
    new_ms=4000.0,
    slower_squared=400 * (2.0**2 + 2.0**2),
    live_score=400.0,
    live_score_squared=400 * (1 + 0.5**2),
    new_score=800.0,
)
STRICT = Checks(min_overlap=0.6)


def verdicts(pairs, limits=None):
    facts = Facts(arm(), arm(), 100, 80.0, limits or Checks(), parity=SAME, pairs=pairs)
    verdict, checks = judge(facts)
    return verdict, {check["name"]: check for check in checks}


def test_a_shadow_like_stable_passes_and_its_differences_are_said():
    verdict, checks = verdicts(PAIRS)
    assert verdict == "pass"
    assert checks["overlap"]["value"] == 50.0
    assert (
        "50.0 % of the products in 400 shoppers' lists stay the same (± 2.0)" in checks["overlap"]["sentence"]
    )
    assert checks["scores"]["sentence"].startswith("a list's mean score goes from 1 to 2 (+2.00 standard")
    assert checks["pair_latency"]["sentence"] == "2.0 ms slower for the same shopper (± 0.2)"
    assert checks["pair_errors"]["sentence"] == "0 of 400 failed, stable's 0"


def test_without_a_shadow_there_is_nothing_to_say():
    assert not {"overlap", "scores", "pair_errors", "pair_latency"} & verdicts(None)[1].keys()


@pytest.mark.parametrize(
    ("pairs", "limits", "name", "outcome"),
    [
        ({"asked": 40, "answered": 40}, None, "overlap", "not_enough_data"),
        ({}, STRICT, "overlap", "fail"),
        ({}, Checks(min_overlap=0.51), "overlap", "inconclusive"),
        ({"asked": 420, "new_errors": 20}, None, "pair_errors", "fail"),
        ({"asked": 406, "new_errors": 6}, None, "pair_errors", "inconclusive"),
        ({"asked": 440, "new_errors": 20, "live_errors": 20}, None, "pair_errors", "pass"),
        ({"new_ms": 400 * 16.0, "slower_squared": 400 * (64.0 + 4.0)}, None, "pair_latency", "fail"),
        ({"new_ms": 400 * 13.1, "slower_squared": 400 * (26.01 + 4.0)}, None, "pair_latency", "inconclusive"),
        ({"new_ms": 400 * 2.0, "slower_squared": 400 * (36.0 + 4.0)}, None, "pair_latency", "pass"),
    ],
)
def test_what_fails_a_shadow(pairs, limits, name, outcome):
    verdict, checks = verdicts(replace(PAIRS, **pairs), limits)
    assert (verdict, checks[name]["verdict"]) == (outcome, outcome)


def test_too_few_pairs_say_how_long_they_take():
    checks = verdicts(replace(PAIRS, asked=40, answered=40))[1]
    assert "needs 60 more shoppers asked of both, about 2" in checks["overlap"]["sentence"]
    assert checks["overlap"]["about_s"] == 120.0
