"""Figures of live numbers. Colours are token names: the page fills them in, in its theme."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any

from monitoring_app.selectors import Series
from portal.core.models import Event

Figure = dict[str, Any]

ROOM_FOR_WORDS = 35  # upright words that fit beside each other over the width of a chart
LEAST_TOP = 1.0  # of every axis, in its unit

# Status after an event -> the word at its line; a step says its share instead.
WORDS = {"paused": "paused", "succeeded": "live", "failed": "stopped", "aborted": "ended"}


# Role -> colour: an arm has one colour everywhere; of the releases that served before, each has its own.
BEFORE = ("series-2", "series-5", "series-6")
COLOURS = {"stable": "--stable", "canary": "--canary-line", "shadow": "--shadow-arm-line"} | {
    each: f"--{each}" for each in BEFORE
}
Roles = Mapping[int, str]  # release number -> stable, canary, shadow or one of BEFORE


def role_before(number: int) -> str:
    """Give a release that no longer serves a colour that stays the same whatever else is shown."""
    return BEFORE[number % len(BEFORE)]


def rate_figure(arms: Iterable[Series], roles: Roles, marks: Iterable[Event]) -> Figure:
    """Requests a second by release."""
    return _lines([(arm, arm.per_second, "") for arm in arms], "requests/s", roles, marks)


def latency_figure(arms: Iterable[Series], roles: Roles, marks: Iterable[Event]) -> Figure:
    """p50, p95 and p99 by release."""
    lines = []
    for arm in arms:
        lines += [(arm, arm.p50_ms, "p50"), (arm, arm.p95_ms, "p95"), (arm, arm.p99_ms, "p99")]
    return _lines(lines, "ms", roles, marks)


def error_figure(arms: Iterable[Series], roles: Roles, marks: Iterable[Event]) -> Figure:
    """Share of first attempts that failed, by release."""
    return _lines([(arm, arm.error_pct, "") for arm in arms], "% of requests", roles, marks)


Shares = Iterable[tuple[int, Sequence[tuple[datetime, float | None, int]]]]


def share_figure(
    releases: Shares, roles: Roles, marks: Iterable[Event], span: tuple[datetime, datetime]
) -> Figure:
    """A share of lists over time, by release: (number, [(middle of the bucket, share, lists), …])."""
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": _name(number, roles),
            "x": [_iso(at) for at, _, _ in points],
            "y": [None if share is None else round(100 * share, 3) for _, share, _ in points],
            "customdata": [lists for _, _, lists in points],
            "hovertemplate": "%{y:.2f} % of %{customdata:,} lists",
            "line": {"color": _colour(number, roles), "width": 2},
            "marker": {"color": _colour(number, roles), "size": 6},
            "connectgaps": False,
        }
        for number, points in releases
    ]
    shapes, notes = _markers(list(marks), span[1] - span[0])
    layout: Figure = {
        "yaxis": {"title": {"text": "% of lists"}, "rangemode": "tozero"},
        "xaxis": {"type": "date", "range": [_iso(moment) for moment in span]},
        "shapes": shapes,
        "annotations": notes,
        "showlegend": len(data) > 1,
    }
    return {"data": data, "layout": layout}


_DASHES = {"p50": "dot", "p99": "dash"}


def _lines(
    lines: list[tuple[Series, list[Any], str]],
    unit: str,
    roles: Roles,
    marks: Iterable[Event],
) -> Figure:
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": " ".join(filter(None, (_name(arm.number, roles), kind))),
            "x": [_iso(at) for at in arm.at],
            "y": [None if value is None else round(value, 3) for value in values],
            "line": {
                "color": _colour(arm.number, roles),
                "width": 2 if kind in ("", "p95") else 1,
                "dash": _DASHES.get(kind, "solid"),
            },
            "connectgaps": False,
            "showlegend": kind in ("", "p95"),
        }
        for arm, values, kind in lines
    ]
    times = [at for arm, _, _ in lines for at in arm.at]
    shapes, notes = _markers(list(marks), max(times) - min(times) if times else timedelta(0))
    highest = max((value for _, values, _ in lines for value in values if value is not None), default=0.0)
    layout: Figure = {
        "yaxis": {"title": {"text": unit}, "rangemode": "tozero"},
        "xaxis": {"type": "date"},
        "shapes": shapes,
        "annotations": notes,
        "showlegend": len(data) > 1,
    }
    if highest < LEAST_TOP:  # nothing, or next to it: a line on the ground, not noise drawn large
        layout["yaxis"]["range"] = [0, LEAST_TOP]
    return {"data": data, "layout": layout}


def _colour(number: int, roles: Roles) -> str:
    return COLOURS[roles.get(number) or role_before(number)]


def _name(number: int, roles: Roles) -> str:
    return f"Release {number} (shadow)" if roles.get(number) == "shadow" else f"Release {number}"


def _markers(events: list[Event], span: timedelta) -> tuple[list[Figure], list[Figure]]:
    """Draw a line at each event; of words that would lie on each other, the last one stays."""
    shapes, notes = [], []
    worded = [event for event in events if _word(event)]
    told = {
        event.pk
        for event, after in zip_longest(worded, worded[1:])
        if after is None or after.created_at - event.created_at >= span / ROOM_FOR_WORDS
    }
    for event in events:
        at = _iso(event.created_at)
        line = {"color": "--ink-muted", "width": 1, "dash": "dot"}
        shapes.append({"type": "line", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1, "line": line})
        text = _word(event)
        if event.pk in told:
            font = {"color": "--ink-muted", "size": 10}
            notes.append(
                {"x": at, "y": 1, "yref": "paper", "text": text, "showarrow": False, "textangle": -90,
                 "xanchor": "right", "yanchor": "top", "font": font}
            )  # fmt: skip
    return shapes, notes


def _word(event: Event) -> str:
    """Name the release and what became of it: "4 at 10 %", "4 live"."""
    number = event.object_label.rpartition(" ")[2]
    share = event.data.get("weight_pct")
    if share is not None:
        return f"{number} at {share} %"
    if event.verb == "rollout.rolled_back":
        return f"back to {number}"
    return f"{number} {WORDS[event.to_status]}" if event.to_status in WORDS else ""


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")  # the page writes it in the reader's zone
