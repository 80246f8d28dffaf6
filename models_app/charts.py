"""Figures of data and runs. Colours are token names: the page fills them in, in its theme."""

from collections.abc import Mapping, Sequence
from typing import Any

Figure = dict[str, Any]


def values_figure(values: Mapping[str, Any]) -> Figure:
    """How often each rating was given."""
    bars = values["bars"]
    names = [_range(bar["low"], bar["high"]) for bar in bars]
    trace = {"type": "bar", "x": names, "y": [bar["count"] for bar in bars], "marker": {"color": "--accent"}}
    axes = {
        "xaxis": {"type": "category", "title": {"text": "value"}},
        "yaxis": {"title": {"text": "interactions"}},
    }
    return {"data": [{**trace, "name": "interactions"}], "layout": {**axes, "showlegend": False}}


def tail_figure(tails: Mapping[str, Sequence[Sequence[int]]]) -> Figure:
    """The long tail: interactions by rank of item and of shopper, both axes logarithmic."""
    lines = (("items", "items", "--accent"), ("users", "shoppers", "--stable"))
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": label,
            "x": [rank for rank, _ in tails[key]],
            "y": [count for _, count in tails[key]],
            "line": {"color": colour, "width": 2},
        }
        for key, label, colour in lines
    ]
    axis = {"type": "log", "dtick": 1}
    layout = {
        "xaxis": {**axis, "title": {"text": "rank, most active first"}},
        "yaxis": {**axis, "title": {"text": "interactions"}},
    }
    return {"data": data, "layout": layout}


def period_figure(series: Mapping[str, Any]) -> Figure:
    """Interactions over time, at the finest step that stays readable."""
    points = series["points"]
    trace = {
        "type": "bar",
        "name": f"interactions a {series['unit']}",
        "x": [at for at, _ in points],
        "y": [count for _, count in points],
        "marker": {"color": "--accent"},
    }
    return {
        "data": [trace],
        "layout": {"yaxis": {"title": {"text": f"a {series['unit']}"}}, "showlegend": False},
    }


def metric_figure(bars: Sequence[Mapping[str, Any]], metric: str, line: Mapping[str, Any] | None) -> Figure:
    """One metric by run with its 95 % interval, and the baseline as a dashed line.

    bars: {name, value, low, high, colour}; line: {name, value} or None.
    """
    data: list[Figure] = [
        {
            "type": "bar",
            "name": metric,
            "x": [bar["name"] for bar in bars],
            "y": [round(bar["value"], 5) for bar in bars],
            "marker": {"color": [bar["colour"] for bar in bars]},
            "error_y": {
                "type": "data",
                "symmetric": False,
                "array": [round(bar["high"] - bar["value"], 5) for bar in bars],
                "arrayminus": [round(bar["value"] - bar["low"], 5) for bar in bars],
                "color": "--ink",
                "thickness": 1.5,
            },
        }
    ]
    shapes = []
    if line is not None:
        style = {"color": "--baseline", "width": 2, "dash": "dash"}
        y = round(line["value"], 5)
        shapes.append({"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": style})
    layout = {
        "yaxis": {"title": {"text": metric}, "rangemode": "tozero"},
        "xaxis": {"type": "category"},
        "shapes": shapes,
        "showlegend": False,
    }
    return {"data": data, "layout": layout}


def curve_figure(curve: Sequence[Sequence[float]]) -> Figure:
    """The loss of a run, by iteration."""
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "loss",
        "x": [at for at, _ in curve],
        "y": [value for _, value in curve],
        "line": {"color": "--accent", "width": 2},
    }
    layout = {
        "xaxis": {"title": {"text": "iteration"}},
        "yaxis": {"title": {"text": "loss"}},
        "showlegend": False,
    }
    return {"data": [trace], "layout": layout}


def _range(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
