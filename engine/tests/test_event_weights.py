"""Event types and ages become confidences, as a plain loop adds them up."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.artifacts import load_artifact
from engine.command_line import main
from engine.event_log import MOST_TYPES, EventLog, weigh_events
from engine.event_weights import DAY_S, EventWeights, add_up, suggest_weight
from engine.tests.sample_files import check, rows_of

LOG = """user,item,event_type,timestamp
a,x,view,1600000000
a,x,Buy,1608640000
a,y,view,1600000000
b,x,cart,1608640000
b,y,view,1608640000
b,y,view,1608640000
c,z,share,1608640000
"""
WEIGHTS = EventWeights({"view": 1, "cart": 3, "buy": 5, "share": 0}, half_life_days=50)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4), st.sampled_from([0, 1, 3, 5]), st.integers(0, 10**8)),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from([None, 30.0, 365.0]),
)
def test_sums_are_those_of_a_loop(rows: list[tuple[int, int, int, int]], half_life: float | None) -> None:
    users, items, weights, times = (np.array(each) for each in zip(*rows, strict=True))
    expected: dict[tuple[int, int], tuple[float, int]] = {}
    for user, item, weight, time in rows:
        age = (max(times) - time) / DAY_S
        worth = weight * (1 if half_life is None else 0.5 ** (age / half_life))
        before, latest = expected.get((user, item), (0.0, 0))
        expected[user, item] = before + worth, max(latest, time)
    expected = {pair: found for pair, found in expected.items() if found[0] > 0}
    as_kept = users.astype(np.int32), items.astype(np.int32), weights.astype(np.float32), times
    of, what, sums, latest = add_up(*as_kept, half_life)
    assert latest is not None
    assert list(zip(of.tolist(), what.tolist(), strict=True)) == sorted(expected)
    np.testing.assert_allclose(sums, [expected[pair][0] for pair in sorted(expected)], rtol=1e-5)
    assert latest.tolist() == [expected[pair][1] for pair in sorted(expected)]


def test_a_file_of_events_is_read_as_confidences(tmp_path: Path) -> None:
    checked = check(tmp_path, LOG, weighing=WEIGHTS)
    found = {(user, item): value for user, item, value, _ in rows_of(checked)}
    assert found == pytest.approx({("a", "x"): 5.25, ("a", "y"): 0.25, ("b", "x"): 3, ("b", "y"): 2})
    assert checked.report["duplicates"] == {"dropped": 0, "conflicting": 0, "policy": "they add up"}
    assert "events_ignored" not in [each["code"] for each in checked.report["warnings"]]
    plain = check(tmp_path, LOG)
    assert {value for _, _, value, _ in rows_of(plain)} == {1}
    assert plain.report["duplicates"]["dropped"] == 2


def test_values_are_amounts_that_the_weights_multiply(tmp_path: Path) -> None:
    log = "user,item,event,quantity\na,x,buy,2\na,x,buy,1\nb,y,view,4\n"
    found = rows_of(check(tmp_path, log, weighing=EventWeights({"view": 1, "buy": 5})))
    assert [(user, item, value) for user, item, value, _ in found] == [("a", "x", 15), ("b", "y", 4)]


def test_an_event_type_without_a_weight_is_named_with_its_line(tmp_path: Path) -> None:
    checked = check(tmp_path, LOG, weighing=EventWeights({"view": 1, "cart": 3, "buy": 5}))
    (problem,) = checked.problems
    assert (problem.code, problem.line, problem.value) == ("unknown_event", 8, "share")


@pytest.mark.parametrize(
    ("by_type", "days", "sentence"),
    [
        ("view", None, "write event weights as view=1,cart=3"),
        ("view=much", None, "write event weights"),
        ("view=-1", None, "'view' must be a number of at least 0"),
        ("view=nan", None, "'view' must be a number"),
        ("view=0", None, "one event type at least"),
        (None, 0.0, "half-life must be a number of days above 0"),
    ],
)
def test_weights_that_mean_nothing_are_refused(
    by_type: str | None, days: float | None, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        EventWeights.read(by_type, days)


def test_the_command_line_trains_on_the_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.csv").write_text(LOG)
    out = tmp_path / "model"
    asked = ["fit", "--train", str(tmp_path / "log.csv"), "--out", str(out), "--set", "factors=8"]
    weights = ["--event-weights", "view=1,cart=3,buy=5,share=0", "--half-life-days", "50"]
    assert main([*asked, *weights]) == 1
    assert "als ignores what a row counts; add --set values=confidence" in capsys.readouterr().err
    assert main([*asked, *weights, "--set", "values=confidence"]) == 0
    kept = load_artifact(out)
    assert sorted(kept.seen.data.tolist()) == pytest.approx([0.25, 2, 3, 5.25])
    (tmp_path / "pairs.csv").write_text("user,item\na,x\nb,y\n")
    asked[2] = str(tmp_path / "pairs.csv")
    assert main([*asked, *weights, "--set", "values=confidence", "--out", str(tmp_path / "other")]) == 1
    assert "No column is chosen for event_type and time" in capsys.readouterr().err


def test_kept_events_weigh_what_reading_the_file_with_weights_gives(tmp_path: Path) -> None:
    checked = check(tmp_path, LOG, keep_events=True)
    assert checked.events is not None
    assert checked.interactions is not None
    assert checked.report["event_types"] == {"view": 4, "buy": 1, "cart": 1, "share": 1}
    checked.events.save(tmp_path / "events")
    found = weigh_events(checked.interactions, EventLog.load(tmp_path / "events"), WEIGHTS)
    expected = check(tmp_path, LOG, weighing=WEIGHTS)
    assert rows_of(replace(checked, interactions=found)) == [
        (user, item, pytest.approx(value), at) for user, item, value, at in rows_of(expected)
    ]
    assert found.user_ids is checked.interactions.user_ids  # positions stay, also of who has nothing left


def test_what_weighs_something_keeps_its_place_so_that_splits_hold_out_the_same(tmp_path: Path) -> None:
    lines = LOG.splitlines()
    checked = check(tmp_path, "\n".join([lines[0], *reversed(lines[1:])]) + "\n", keep_events=True)
    plain = checked.interactions
    assert plain is not None
    twice = EventWeights(dict.fromkeys(("view", "buy", "cart", "share"), 2))
    found = weigh_events(plain, checked.events, twice)
    for name in ("users", "items", "times"):
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))
    assert sorted(found.values.tolist()) == [2, 2, 2, 4, 4]


def test_without_event_types_the_row_that_stands_is_weighed_by_its_age(tmp_path: Path) -> None:
    checked = check(
        tmp_path, "user,item,rating,timestamp\na,x,4,1600000000\nb,y,4,1608640000\n", keep_events=True
    )
    assert checked.interactions is not None
    assert (checked.events, "event_types" in checked.report) == (None, False)
    found = weigh_events(checked.interactions, None, EventWeights(half_life_days=50))
    assert found.values.tolist() == [1, 4]
    with pytest.raises(ValueError, match="a column of event types, and the file has none"):
        weigh_events(checked.interactions, None, EventWeights({"view": 1}))
    no_times = check(tmp_path, "user,item\na,x\nb,y\n").interactions
    assert no_times is not None
    with pytest.raises(ValueError, match="needs times"):
        weigh_events(no_times, None, EventWeights(half_life_days=50))


def test_a_type_without_a_weight_is_refused_when_events_are_weighed(tmp_path: Path) -> None:
    checked = check(tmp_path, LOG, keep_events=True)
    assert checked.interactions is not None
    with pytest.raises(ValueError, match="'share' has no weight"):
        weigh_events(checked.interactions, checked.events, EventWeights({"view": 1, "cart": 3, "buy": 5}))


def test_a_column_of_too_many_kinds_is_read_and_not_kept(tmp_path: Path) -> None:
    def log(kinds: int) -> str:
        return "user,item,event_type\n" + "".join(f"u{n % 7},i{n},kind {n}\n" for n in range(kinds))

    most, more = (check(tmp_path, log(n), keep_events=True) for n in (MOST_TYPES, MOST_TYPES + 1))
    assert most.events is not None
    assert len(most.report["event_types"]) == MOST_TYPES
    assert (more.events, more.report["event_types"]) == (None, {})
    assert more.interactions is not None
    long = check(tmp_path, log(5) + f"u1,i9,{'x' * 101}\n", keep_events=True)
    assert (long.events, long.problem_count) == (None, 0)


def test_events_of_bad_rows_are_left_out_and_the_others_keep_their_ids(tmp_path: Path) -> None:
    log = "user,item,event_type,timestamp\nbad,x,view,never\na,x,view,1600000000\nb,y,buy,1600000000\n"
    checked = check(tmp_path, log, keep_events=True, leave_out_bad_rows=True)
    assert checked.interactions is not None
    assert checked.events is not None
    assert checked.interactions.user_ids.to_list() == ["a", "b"]
    assert checked.events.users.tolist() == [0, 1]
    assert checked.events.counts() == {"view": 1, "buy": 1}


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("Purchase-Complete", 5),
        ("addtocart", 3),
        ("remove_from_cart", 0),
        ("wishlist", 2),
        ("view", 1),
        ("", 1),
    ],
)
def test_a_weight_is_suggested_by_the_name_of_a_type(name: str, weight: float) -> None:
    assert suggest_weight(name) == weight


def test_weights_are_told_in_a_line() -> None:
    assert EventWeights({"view": 1, "buy": 5}, 90).text == "buy 5, view 1; half every 90 days"
    assert EventWeights(None, 1.5).text == "half every 1.5 days"
