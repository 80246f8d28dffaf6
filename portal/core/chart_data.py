"""A chart's figure as JSON for the page, and as a table for whoever cannot see it."""

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import numpy as np
from django.utils.safestring import SafeString, mark_safe

from portal.core.figures import decimal, number, whole

TABLE_ROWS = 400
_ESCAPES = {
    ord(">"): "\\u003E",
    ord("<"): "\\u003C",
    ord("&"): "\\u0026",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


def figure_json(figure: Mapping[str, Any]) -> SafeString:
    """Write the figure for a `<script type="application/json">`; NaN and infinity become null."""
    text = json.dumps(plain(figure), allow_nan=False, separators=(",", ":"))
    return mark_safe(text.translate(_ESCAPES))  # noqa: S308  every character that could end the script is escaped


def plain(value: Any) -> Any:
    """Turn numpy arrays, dates and tuples into what JSON has."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return number(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value


def figure_table(figure: Mapping[str, Any]) -> dict[str, Any]:
    """Read columns and rows from the traces; a trace with `"hoverinfo": "skip"` is decoration."""
    figure = plain(figure)
    traces = [trace for trace in figure.get("data", []) if trace.get("hoverinfo") != "skip"]
    layout = figure.get("layout", {})
    names = [trace.get("name") or f"series {at + 1}" for at, trace in enumerate(traces)]
    keys, values = ("y", "x") if traces and traces[0].get("orientation") == "h" else ("x", "y")
    title = _axis_title(layout, keys) or "at"
    if len(traces) == 1:
        names[0] = traces[0].get("name") or _axis_title(layout, values) or "value"
    columns: dict[Any, dict[int, str]] = {}
    for at, trace in enumerate(traces):
        for key, text in zip(trace.get(keys) or [], _values(trace, values), strict=False):
            columns.setdefault(str(key), {})[at] = text
    rows = [[key, *(found.get(at, "") for at in range(len(traces)))] for key, found in columns.items()]
    return {"columns": [title, *names], "rows": rows[:TABLE_ROWS], "left_out": max(0, len(rows) - TABLE_ROWS)}


def _values(trace: Mapping[str, Any], axis: str) -> list[str]:
    halves = (trace.get(f"error_{axis}") or {}).get("array") or []
    texts = [_cell(value) for value in trace.get(axis) or []]
    return [f"{text} ± {_cell(halves[at])}" if at < len(halves) else text for at, text in enumerate(texts)]


def _cell(value: Any) -> str:
    if isinstance(value, str) or value is None:
        return value or "–"
    if float(value).is_integer():
        return whole(value)
    return decimal(value, 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 4)


def _axis_title(layout: Mapping[str, Any], axis: str) -> str:
    title = (layout.get(f"{axis}axis") or {}).get("title") or ""
    return str(title.get("text", "") if isinstance(title, Mapping) else title)
