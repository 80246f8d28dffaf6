"""A plan is checked as a whole, and every wrong place is named."""

import pytest

from deployments_app.plan_rules import AT_ONCE, DEFAULT_PLAN, read_plan, validate_plan
from deployments_app.plan_templates import TEMPLATES
from portal.core.errors import InvalidInput

GOOD = {"steps": [{"weight_pct": 10, "hold_s": 60, "min_answers": 100}, {"weight_pct": 100}]}

WRONG = {
    "no object": ([], ""),
    "no steps": ({}, "/steps"),
    "empty steps": ({"steps": []}, "/steps"),
    "too many steps": ({"steps": [{"weight_pct": n} for n in range(1, 12)]}, "/steps"),
    "steps no list": ({"steps": {"weight_pct": 100}}, "/steps"),
    "a step no object": ({"steps": [100]}, "/steps/0"),
    "weight missing": ({"steps": [{}]}, "/steps/0/weight_pct"),
    "a canary of 0 %": ({"steps": [{"weight_pct": 0}, {"weight_pct": 100}]}, "/steps/0/weight_pct"),
    "weight 101": ({"steps": [{"weight_pct": 101}]}, "/steps/0/weight_pct"),
    "weight a text": ({"steps": [{"weight_pct": "10"}]}, "/steps/0/weight_pct"),
    "weight true": ({"steps": [{"weight_pct": True}]}, "/steps/0/weight_pct"),
    "weight a fraction": ({"steps": [{"weight_pct": 9.5}]}, "/steps/0/weight_pct"),
    "weights fall": ({"steps": [{"weight_pct": 50}, {"weight_pct": 10}, {"weight_pct": 100}]}, "/steps"),
    "weights repeat": ({"steps": [{"weight_pct": 100}, {"weight_pct": 100}]}, "/steps"),
    "does not end at 100": ({"steps": [{"weight_pct": 10}, {"weight_pct": 50}]}, "/steps/1/weight_pct"),
    "negative hold": ({"steps": [{"weight_pct": 100, "hold_s": -1}]}, "/steps/0/hold_s"),
    "endless hold": ({"steps": [{"weight_pct": 100, "hold_s": 10**9}]}, "/steps/0/hold_s"),
    "no number hold": ({"steps": [{"weight_pct": 100, "hold_s": float("nan")}]}, "/steps/0/hold_s"),
    "negative answers": ({"steps": [{"weight_pct": 100, "min_answers": -1}]}, "/steps/0/min_answers"),
    "unknown step name": ({"steps": [{"weight_pct": 100, "weigth": 1}]}, "/steps/0/weigth"),
    "unknown name": ({**GOOD, "stesp": []}, "/stesp"),
    "unknown check": ({**GOOD, "checks": {"p99_ratio": 2}}, "/checks/p99_ratio"),
    "errors above 1": ({**GOOD, "checks": {"max_error_ratio": 2}}, "/checks/max_error_ratio"),
    "p95 below 1": ({**GOOD, "checks": {"p95_ratio": 0.5}}, "/checks/p95_ratio"),
    "unknown strategy": ({**GOOD, "strategy": "roulette"}, "/strategy"),
    "ends by nobody": ({"steps": [{"weight_pct": 100, "ends_by": "nobody"}]}, "/steps/0/ends_by"),
    "a person ends the last step": (
        {"steps": [{"weight_pct": 100, "ends_by": "person"}]},
        "/steps/0/ends_by",
    ),
    "a canary with copies": (
        {"steps": [{"weight_pct": 10, "mirror_pct": 5}, {"weight_pct": 100}]},
        "/steps/0/mirror_pct",
    ),
    "blue-green with a canary": (
        {"strategy": "blue_green", "steps": [{"weight_pct": 10}, {"weight_pct": 100}]},
        "/steps",
    ),
    "answers of nobody": (
        {"strategy": "blue_green", "steps": [{"weight_pct": 0, "min_answers": 5}, {"weight_pct": 100}]},
        "/steps/0/min_answers",
    ),
    "a shadow that is seen": (
        {"strategy": "shadow", "steps": [{"weight_pct": 10}, {"weight_pct": 100}]},
        "/steps/0/weight_pct",
    ),
    "a shadow without copies": (
        {"strategy": "shadow", "steps": [{"weight_pct": 0}, {"weight_pct": 100}]},
        "/steps/0/mirror_pct",
    ),
    "an A/B test of three steps": (
        {"strategy": "ab", "steps": [{"weight_pct": 10}, {"weight_pct": 50}, {"weight_pct": 100}]},
        "/steps",
    ),
    "an A/B test that ends by itself": (
        {"strategy": "ab", "steps": [{"weight_pct": 50}, {"weight_pct": 100}]},
        "/steps/0/ends_by",
    ),
    "no servers": ({**GOOD, "servers": {"replicas": 0}}, "/servers/replicas"),
    "half a server": ({**GOOD, "servers": {"replicas": 1.5}}, "/servers/replicas"),
    "too little memory": ({**GOOD, "servers": {"memory_mb": 64}}, "/servers/memory_mb"),
    "memory as a text": ({**GOOD, "servers": {"memory_mb": "512"}}, "/servers/memory_mb"),
    "fewer at most than at least": (
        {**GOOD, "servers": {"replicas": 3, "max_replicas": 2}},
        "/servers/max_replicas",
    ),
    "no target": ({**GOOD, "servers": {"target_pct": 5}}, "/servers/target_pct"),
    "no processor time": ({**GOOD, "servers": {"cpu_s": -1}}, "/servers/cpu_s"),
    "unknown limit": ({**GOOD, "servers": {"gpu": 1}}, "/servers/gpu"),
    "watched for a year": ({**GOOD, "watch_s": 31_536_000}, "/watch_s"),
    "negative patience": ({**GOOD, "max_wait_s": -1}, "/max_wait_s"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_plan_is_refused_where_it_is_wrong(name):
    plan, pointer = WRONG[name]
    with pytest.raises(InvalidInput) as refusal:
        read_plan(plan)
    assert refusal.value.code == "invalid_plan"
    assert pointer in [each["pointer"] for each in refusal.value.errors]


def test_a_checked_plan_is_complete_and_checks_again():
    complete = validate_plan(GOOD)
    assert complete["steps"][1] == {
        "weight_pct": 100,
        "hold_s": 0,
        "min_answers": 0,
        "mirror_pct": 0,
        "ends_by": "plan",
    }
    assert complete["strategy"] == "canary"
    assert complete["checks"] == {
        "max_error_ratio": 0.01,
        "p95_ratio": 1.5,
        "empty_ratio": 0.05,
        "fallback_ratio": 0.05,
        "max_ctr_loss": 0.4,
        "max_conversion_loss": 0.5,
        "min_overlap": 0.0,
    }
    assert validate_plan(complete) == complete


@pytest.mark.parametrize("plan", [AT_ONCE, DEFAULT_PLAN, *(each.plan for each in TEMPLATES.values())])
def test_the_shipped_plans_are_right(plan):
    assert read_plan(plan.to_json()) == plan


def test_only_a_bare_last_step_goes_without_a_verdict():
    assert [step.is_judged for step in DEFAULT_PLAN.steps] == [True, True, False]
    assert [step.is_judged for step in TEMPLATES["blue_green"].plan.steps] == [False, True]
    assert [step.is_judged for step in TEMPLATES["shadow_first"].plan.steps] == [True, True, True, False]
