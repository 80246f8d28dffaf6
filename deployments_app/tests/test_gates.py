"""Each gate passes, fails or has not enough data, and says so in a sentence with its figures."""

from dataclasses import replace

import pytest

from deployments_app.gates import GATE_LABELS, MAX_SIZE_BYTES, Difference, GateFacts, judge

BETTER = Difference(0.05, 0.03, 0.07, "popularity")
GOOD = GateFacts(
    test_users=500,
    versus_popularity=BETTER,
    versus_live=replace(BETTER, other="shop-main 3"),
    has_live=True,
    coverage=0.4,
    live_coverage=0.5,
    artifact_problem=None,
    size_bytes=1_000_000,
)

CASES = {
    # what differs: (facts, gate, verdict, words)
    "better": ({}, "beats_popularity", "pass", "+0.0500 (+0.0300 to +0.0700); the interval is above zero"),
    "perhaps better": (
        {"versus_popularity": replace(BETTER, low=-0.01)}, "beats_popularity", "fail", "is not above zero",
    ),
    "just zero is not above": (
        {"versus_popularity": replace(BETTER, low=0.0)}, "beats_popularity", "fail", "is not above zero",
    ),
    "never compared": ({"versus_popularity": None}, "beats_popularity", "not_enough_data", "not compared"),
    "few shoppers": ({"test_users": 199}, "beats_popularity", "not_enough_data", "1 more is needed"),
    "not worse": ({}, "not_worse_than_live", "pass", "shop-main 3"),
    "perhaps worse": (
        {"versus_live": replace(BETTER, value=-0.01, low=-0.03, high=0.01)},
        "not_worse_than_live", "pass", "is not below zero",
    ),
    "worse": (
        {"versus_live": replace(BETTER, value=-0.02, low=-0.03, high=-0.01)},
        "not_worse_than_live", "fail", "is below zero",
    ),
    "nothing live": ({"has_live": False}, "not_worse_than_live", "pass", "Nothing is live"),
    "other shoppers": ({"versus_live": None}, "not_worse_than_live", "not_enough_data", "same shoppers"),
    "coverage kept": ({}, "coverage", "pass", "40.0% of the catalogue"),
    "coverage collapsed": ({"coverage": 0.2}, "coverage", "fail", "needed are 25.0%"),
    "coverage unknown": ({"coverage": None}, "coverage", "not_enough_data", "not measured"),
    "coverage without a live one": ({"live_coverage": None}, "coverage", "pass", "needed are 1.0%"),
    "enough shoppers": ({}, "test_users", "pass", "500 test shoppers"),
    "too few shoppers": ({"test_users": 12}, "test_users", "not_enough_data", "188 more"),
    "whole files": ({}, "artifact", "pass", "registered digest"),
    "damaged files": ({"artifact_problem": "x.npy differs"}, "artifact", "fail", "x.npy differs"),
    "small": ({}, "size", "pass", "1.0 MB"),
    "too large": ({"size_bytes": MAX_SIZE_BYTES + 1}, "size", "fail", "at most"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_gate_says_what_it_found(name):
    changes, gate, verdict, words = CASES[name]
    found = next(each for each in judge(replace(GOOD, **changes)) if each.name == gate)
    assert found.verdict == verdict
    assert words in found.sentence


def test_every_gate_is_judged_always():
    nothing = GateFacts(0, None, None, True, None, None, "gone", 0)
    for facts in (GOOD, nothing):
        assert [gate.name for gate in judge(facts)] == list(GATE_LABELS)
        assert all(gate.sentence and gate.label for gate in judge(facts))
    assert {gate.verdict for gate in judge(nothing)} == {"not_enough_data", "fail", "pass"}
