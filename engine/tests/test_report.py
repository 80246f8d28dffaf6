"""The numbers of a dataset, against counts made by hand."""

import json

import numpy as np
import pytest

from engine.interactions import IdTable, Interactions
from engine.report import FileFacts, describe_dataset, gini

DAY = 86_400


def dataset(users, items, values=None, times=None):
    users, items = np.array(users, np.int32), np.array(items, np.int32)
    return Interactions(
        IdTable.of(f"u{n}" for n in range(users.max() + 1)),
        IdTable.of(f"i{n}" for n in range(items.max() + 1)),
        users,
        items,
        np.ones(len(users), np.float32) if values is None else np.array(values, np.float32),
        None if times is None else np.array(times, np.int64),
    )


def test_sizes_period_and_top_items_are_those_counted_by_hand():
    data = dataset([0, 0, 1, 2, 2], [0, 1, 0, 0, 3], [1, 5, 5, 2, 5], [5 * DAY, DAY, 2 * DAY, DAY, DAY + 1])
    report = describe_dataset(data, FileFacts(rows=7, duplicates=2, conflicting=1, now=3 * DAY))
    assert (report["rows"], report["users"], report["items"], report["interactions"]) == (7, 3, 4, 5)
    assert report["density"] == 5 / 12
    assert report["period"] == {"first": "1970-01-02T00:00:00Z", "last": "1970-01-06T00:00:00Z"}
    assert [(bar["low"], bar["count"]) for bar in report["values"]["bars"]] == [(1, 1), (2, 1), (5, 3)]
    assert report["values"]["mean"] == 3.6
    assert report["top_items"][0] == {"id": "i0", "count": 3, "share": 0.6}
    assert report["series"] == {
        "unit": "day",
        "points": [
            ["1970-01-02", 3],
            ["1970-01-03", 1],
            ["1970-01-04", 0],
            ["1970-01-05", 0],
            ["1970-01-06", 1],
        ],
    }
    assert report["long_tail"]["items"] == [[1, 3], [2, 1], [3, 1], [4, 0]]
    codes = {warning["code"] for warning in report["warnings"]}
    assert {"duplicates", "future_dates", "few_interactions"} <= codes


@pytest.mark.parametrize(
    ("days", "unit"),
    [
        (0, "day"),
        (119, "day"),
        (120, "week"),
        (800, "week"),
        (900, "month"),
        (4_000, "quarter"),
        (20_000, "year"),
        (47_400, "decade"),
    ],
)
def test_the_series_is_as_fine_as_120_points_allow_and_loses_nothing(days, unit):
    rng = np.random.default_rng(days)
    times = np.concatenate(([0, days * DAY], rng.integers(0, days * DAY + 1, 500)))
    data = dataset(np.arange(502) % 5, np.arange(502), times=times)
    series = describe_dataset(data, FileFacts(rows=502))["series"]
    assert series["unit"] == unit
    assert len(series["points"]) <= 120
    assert sum(count for _, count in series["points"]) == 502
    assert [label for label, _ in series["points"]] == sorted({label for label, _ in series["points"]})


def test_many_values_are_put_into_ranges_that_hold_them_all():
    values = np.linspace(0.1, 99.3, 500)
    report = describe_dataset(dataset(np.arange(500) % 9, np.arange(500), values), FileFacts(rows=500))
    bars = report["values"]["bars"]
    assert len(bars) == 20
    assert sum(bar["count"] for bar in bars) == 500
    assert (bars[0]["low"], bars[-1]["high"]) == (0.1, 99.3)


def test_gini_is_nothing_for_equals_and_nearly_one_for_a_monopoly():
    assert gini(np.full(10, 4)) == pytest.approx(0)
    assert gini(np.array([0] * 999 + [5])) == pytest.approx(0.999)
    assert gini(np.array([1, 2, 3, 4])) == pytest.approx(0.25)


def test_a_large_report_is_small_json():
    rng = np.random.default_rng(1)
    users, items = rng.integers(0, 20_000, 100_000), rng.zipf(1.4, 100_000) % 5_000
    data = dataset(
        users, items, rng.normal(3, 1, 100_000), rng.integers(1_500_000_000, 1_700_000_000, 100_000)
    )
    assert len(json.dumps(describe_dataset(data, FileFacts(rows=100_000)), allow_nan=False)) < 12_000


def test_one_user_with_most_rows_is_pointed_out():
    users = [0] * 60 + list(range(1, 41))
    report = describe_dataset(dataset(users, range(100)), FileFacts(rows=100, has_values=False))
    heavy = next(warning for warning in report["warnings"] if warning["code"] == "heavy_user")
    assert heavy["text"] == "One user, u0, has 60% of everything."
    assert report["values"] is None


def test_the_report_says_whether_a_split_by_time_is_possible():
    data = dataset(np.repeat(np.arange(300), 20), np.arange(6_000) % 200, times=np.arange(6_000))
    judged = describe_dataset(data, FileFacts(rows=6_000))["ready_for"]
    assert [(each["what"], each["verdict"]) for each in judged] == [("time_split", "ready")]
