"""Event types and ages become confidences, as a plain loop adds them up."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.artifacts import load_artifact
from engine.command_line import main
from engine.event_weights import DAY_S, EventWeights, add_up
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
