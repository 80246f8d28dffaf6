import json
from datetime import UTC, datetime

import numpy as np

from portal.core.chart_data import figure_json, figure_table


def test_a_figure_cannot_end_its_script() -> None:
    text = figure_json({"data": [{"name": "</script><script>alert(1)//&\u2028"}]})
    assert "<" not in text
    assert ">" not in text
    assert json.loads(text)["data"][0]["name"] == "</script><script>alert(1)//&\u2028"


def test_arrays_dates_and_what_is_not_a_number_become_json() -> None:
    figure = {
        "data": [
            {"x": np.arange(2), "y": (np.float64(0.5), float("nan")), "t": datetime(2026, 1, 2, tzinfo=UTC)}
        ]
    }
    assert json.loads(figure_json(figure))["data"][0] == {
        "x": [0, 1],
        "y": [0.5, None],
        "t": "2026-01-02T00:00:00+00:00",
    }


def test_traces_side_by_side_share_the_rows_of_the_table() -> None:
    traces = [
        {"name": "stable", "x": [1, 2], "y": [3.5, 4]},
        {"name": "canary", "x": [2], "y": [0.1234]},
        {"name": "band", "x": [1, 2], "y": [9, 9], "hoverinfo": "skip"},
    ]
    table = figure_table({"data": traces, "layout": {"xaxis": {"title": "minute"}}})
    assert table["columns"] == ["minute", "stable", "canary"]
    assert table["rows"] == [["1", "3.50", ""], ["2", "4", "0.1234"]]


def test_lying_bars_are_read_by_their_names_with_their_intervals() -> None:
    bars = {"orientation": "h", "x": [0.139], "y": ["ALS"], "error_x": {"array": [0.006]}}
    table = figure_table({"data": [bars], "layout": {"xaxis": {"title": {"text": "NDCG@10"}}}})
    assert table["columns"] == ["at", "NDCG@10"]
    assert table["rows"] == [["ALS", "0.1390 ± 0.0060"]]


def test_a_long_table_says_how_much_it_leaves_out() -> None:
    table = figure_table({"data": [{"x": list(range(1000)), "y": list(range(1000))}]})
    assert len(table["rows"]) == 400
    assert table["left_out"] == 600
