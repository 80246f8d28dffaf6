"""A dataset in numbers small enough to store and draw: sizes, period, histograms, long tails, warnings."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.interactions import Float32, Int64, Interactions
from engine.readiness import judge_time_split

TOP_ITEMS = 10
TAIL_POINTS = 40
SERIES_POINTS = 120
SEPARATE_VALUES = 20
HISTOGRAM_BINS = 20
HEAVY_SHARE = 0.1
DAY_S = 86_400
STEPS = (
    ("day", "D", 1),
    ("week", "W", 1),
    ("month", "M", 1),
    ("quarter", "M", 3),
    ("year", "Y", 1),
    ("decade", "Y", 10),
)


@dataclass(frozen=True)
class FileFacts:
    """What only the reading of the file knows. Counts of rows, except the two of ids.

    changed_ids: spellings that normalisation changed; invisible_ids: ids with characters that show nothing.
    adds_up: what repeats a pair of user and item adds to it. now: seconds since 1970.
    """

    rows: int
    left_out: int = 0
    duplicates: int = 0
    conflicting: int = 0
    has_values: bool = True
    ignores_events: bool = False
    adds_up: bool = False
    changed_ids: int = 0
    invisible_ids: int = 0
    now: float = float("inf")


def describe_dataset(interactions: Interactions, facts: FileFacts) -> dict[str, Any]:
    """Describe checked interactions in values that JSON can hold."""
    n_users, n_items = interactions.shape
    by_user = np.bincount(interactions.users, minlength=n_users)
    by_item = np.bincount(interactions.items, minlength=n_items)
    times = interactions.times
    future = int(np.count_nonzero(times > facts.now)) if times is not None else 0
    return {
        "rows": facts.rows,
        "left_out": facts.left_out,
        "users": n_users,
        "items": n_items,
        "interactions": len(interactions),
        "density": len(interactions) / (n_users * n_items),
        "per_user": _spread(by_user),
        "per_item": _spread(by_item),
        "period": _period(times),
        "values": _histogram(interactions.values) if facts.has_values else None,
        "duplicates": {
            "dropped": facts.duplicates,
            "conflicting": facts.conflicting,
            "policy": "they add up"
            if facts.adds_up
            else "the last by time stands"
            if times is not None
            else "the last in the file stands",
        },
        "long_tail": {"items": _tail(by_item), "users": _tail(by_user)},
        "gini": {"items": gini(by_item), "users": gini(by_user)},
        "top_items": _top(interactions, by_item),
        "series": _series(times),
        "warnings": _warnings(interactions, facts, by_user, by_item, future),
        "ready_for": [
            asdict(judge_time_split(int(np.count_nonzero(by_user >= 5)), has_times=times is not None))
        ],
    }


def gini(counts: Int64) -> float:
    """Measure inequality: 0 when all counts are equal, towards 1 when one has everything."""
    total, n = counts.sum(), len(counts)
    if not total:
        return 0.0
    ordered = np.sort(counts)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * total))


def _spread(counts: Int64) -> dict[str, float | int]:
    return {
        "mean": float(counts.mean()),
        "median": float(np.median(counts)),
        "most": int(counts.max()),
        "once": int(np.count_nonzero(counts == 1)),
    }


def _period(times: Int64 | None) -> dict[str, str] | None:
    if times is None:
        return None
    return {"first": _iso(int(times.min())), "last": _iso(int(times.max()))}


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _histogram(values: Float32) -> dict[str, Any]:
    """Count each value where they are few, else twenty equal ranges from `low` to below `high`."""
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= SEPARATE_VALUES:
        bars = [
            {"low": _short(value), "high": _short(value), "count": int(count)}
            for value, count in zip(distinct, counts, strict=True)
        ]
    else:
        counts, edges = np.histogram(values.astype(np.float64), HISTOGRAM_BINS)
        bars = [
            {"low": _short(low), "high": _short(high), "count": int(count)}
            for low, high, count in zip(edges, edges[1:], counts, strict=False)
        ]
    return {
        "min": _short(distinct[0]),
        "max": _short(distinct[-1]),
        "mean": float(values.mean(dtype=np.float64)),
        "distinct": len(distinct),
        "bars": bars,
    }


def _short(value: np.floating[Any]) -> float:
    return float(f"{value:.6g}")


def _tail(counts: Int64) -> list[list[int]]:
    """Return [rank, count] at ranks spaced evenly on a logarithmic axis, the first and last included."""
    ordered = np.sort(counts)[::-1]
    ranks = np.unique(np.geomspace(1, len(ordered), TAIL_POINTS).round().astype(np.int64))
    return [[int(rank), int(ordered[rank - 1])] for rank in ranks]


def _top(interactions: Interactions, by_item: Int64) -> list[dict[str, Any]]:
    order = np.argsort(-by_item, kind="stable")[:TOP_ITEMS]
    return [
        {
            "id": interactions.item_ids[int(item)],
            "count": int(by_item[item]),
            "share": by_item[item] / len(interactions),
        }
        for item in order
    ]


def _series(times: Int64 | None) -> dict[str, Any] | None:
    """Count interactions by day, week, month, quarter or year: the finest that gives at most 120 points."""
    if times is None:
        return None
    days = (times // DAY_S).astype("datetime64[D]")
    unit, code, width = next(step for step in STEPS if _steps(days, *step[1:]).size <= SERIES_POINTS)
    steps = _steps(days, code, width)
    counts = np.bincount(days.astype(f"datetime64[{code}]").astype(np.int64) // width - steps[0])
    labels = (steps * width).astype(f"datetime64[{code}]").astype("datetime64[D]").astype(str).tolist()
    return {
        "unit": unit,
        "points": [[label, int(count)] for label, count in zip(labels, counts, strict=True)],
    }


def _steps(days: npt.NDArray[np.datetime64], code: str, width: int) -> Int64:
    ends: Int64 = np.array([days.min(), days.max()]).astype(f"datetime64[{code}]").astype(np.int64) // width
    return np.arange(ends[0], ends[1] + 1)


def _warnings(
    interactions: Interactions, facts: FileFacts, by_user: Int64, by_item: Int64, future: int
) -> list[dict[str, str]]:
    n, values = len(interactions), interactions.values
    heaviest = int(by_user.argmax())
    constant = facts.has_values and bool(values.min() == values.max())
    checks = (
        ("left_out", facts.left_out, f"{facts.left_out:,} bad rows were left out."),
        (
            "duplicates",
            facts.duplicates,
            f"{facts.duplicates:,} rows repeat a pair of user and item and were dropped; the last one stands"
            + (f" ({facts.conflicting:,} had another value)." if facts.conflicting else "."),
        ),
        ("future_dates", future, f"{future:,} interactions are dated in the future."),
        ("no_times", interactions.times is None, "There are no times: a split by time is not possible."),
        (
            "heavy_user",
            by_user[heaviest] > max(HEAVY_SHARE * n, 20),
            f"One user, {interactions.user_ids[heaviest]}, has {by_user[heaviest] / n:.0%} of everything.",
        ),
        (
            "single_users",
            np.mean(by_user == 1) > 0.5,
            f"{np.mean(by_user == 1):.0%} of the users have one interaction: little to learn from each.",
        ),
        (
            "few_interactions",
            n < 1000,
            f"{n:,} interactions are few; differences between models will be unclear.",
        ),
        ("constant_value", constant, "All values are equal: they say that something happened, not how much."),
        (
            "negative_values",
            facts.has_values and values.min() <= 0,
            f"{np.count_nonzero(values <= 0):,} values are zero or negative.",
        ),
        (
            "events_ignored",
            facts.ignores_events,
            "Event types count alike until a training gives them weights.",
        ),
        (
            "ids_changed",
            facts.changed_ids,
            f"{facts.changed_ids:,} ids were written in another form and were unified.",
        ),
        (
            "invisible_characters",
            facts.invisible_ids,
            f"{facts.invisible_ids:,} ids contain characters that show nothing.",
        ),
    )
    return [{"code": code, "text": text} for code, holds, text in checks if holds]
