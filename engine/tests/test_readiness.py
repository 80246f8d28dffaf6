"""Whether data is enough: by what an algorithm needs, and by counts."""

from dataclasses import replace

import pytest

from engine.estimators import ALGORITHMS, Estimator
from engine.estimators.base import FAMILIES, Settings
from engine.parameters import make_config
from engine.readiness import DataFacts, judge_algorithm, judge_time_split

MANY = DataFacts(300, 200, 6_000, 300, has_times=True, has_items=True, values_differ=True)
SINGLES = replace(MANY, users=50, items=7, interactions=50, users_with_several=0)
FEW = replace(MANY, users=9, items=7, interactions=18, users_with_several=9)


def named(family: str, *needs: str, predicts: bool = False) -> type[Estimator]:
    """An algorithm of which only what readiness looks at is there."""
    facts = {
        "name": "x",
        "family": family,
        "needs": frozenset(needs),
        "predicts_values": predicts,
        "Config": Settings,
    }
    return type("X", (Estimator,), facts)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_has_a_family_and_is_ready_where_there_is_enough_of_everything(name):
    assert ALGORITHMS[name].family in FAMILIES
    judged = judge_algorithm(ALGORITHMS[name], MANY)
    assert (judged.what, judged.verdict) == (name, "ready")
    assert judged.reason.endswith(".")


@pytest.mark.parametrize(
    ("family", "data", "verdict"),
    [
        ("popular", SINGLES, "ready"),
        ("neighbours", SINGLES, "not_ready"),
        ("neighbours", FEW, "weak"),
        ("neighbours", replace(MANY, users_with_several=30), "weak"),
        ("factors", SINGLES, "not_ready"),
        ("factors", FEW, "weak"),
        ("factors", replace(MANY, items=49), "weak"),
        ("content", SINGLES, "weak"),
        ("more", SINGLES, "not_ready"),
        ("more", MANY, "ready"),
    ],
)
def test_a_family_decides_which_counts_are_enough(family, data, verdict):
    assert judge_algorithm(named(family), data).verdict == verdict


def test_what_cannot_be_done_without_is_named_with_its_remedy():
    judged = judge_algorithm(named("more", "items"), replace(MANY, has_items=False))
    assert (judged.verdict, "item file with titles" in judged.reason) == ("not_ready", True)
    judged = judge_algorithm(named("popular", "times"), replace(MANY, has_times=False))
    assert (judged.verdict, "time column" in judged.reason) == ("not_ready", True)


def test_who_predicts_values_needs_some_that_differ():
    equal = replace(MANY, values_differ=False)
    assert judge_algorithm(named("factors", predicts=True), MANY).verdict == "ready"
    judged = judge_algorithm(named("factors", predicts=True), equal)
    assert (judged.verdict, "none that differ" in judged.reason) == ("weak", True)
    assert judge_algorithm(named("factors"), equal).verdict == "ready"
    assert judge_algorithm(
        named("factors", predicts=True), replace(SINGLES, values_differ=False)
    ).verdict == ("not_ready")


@pytest.mark.parametrize(
    ("users", "has_times", "verdict"), [(0, False, "not_ready"), (199, True, "weak"), (200, True, "ready")]
)
def test_a_split_by_time_needs_times_and_users_with_five(users, has_times, verdict):
    assert judge_time_split(users, has_times=has_times).verdict == verdict


def test_a_catalogue_beyond_what_a_config_bears_is_refused_with_what_to_do():
    ease = ALGORITHMS["ease"]
    wide = replace(MANY, items=15_000, not_chosen=6_000)
    judged = judge_algorithm(ease, wide)
    assert judged.verdict == "not_ready"
    assert "20,000 items and the data have 21,000" in judged.reason
    assert judge_algorithm(ease, wide, make_config(ease.Config, {"max_items": 30_000})).verdict == "ready"
